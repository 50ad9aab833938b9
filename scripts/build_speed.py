"""Write docs/speed.md from the recorded measurements in benchmarks/results.

    python scripts/build_speed.py [--check]

No number on that page is typed by hand. --check writes nothing and fails where the page differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from generated_page import markdown, write_or_check

from svae_lib.support.files import read_json

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "speed.md"
RECORDS = ROOT / "benchmarks" / "results"
HEAD = """# Speed

Made from the files in [benchmarks/results](../benchmarks/README.md) by `python
scripts/build_speed.py`; `make bench` measures again and calls it. Where two ways are compared, they
took turns in one run. On another machine the figures differ.
"""
NO_GPU = """## On a GPU

Not measured yet: `make bench BENCH=gpu_session` measures it.
"""

Row = list[str]


def on_what(record: dict[str, Any]) -> str:
    """One sentence: device and versions of a measurement."""
    c = record["conditions"]
    threads = f"{c['threads']} thread" + ("" if int(c["threads"]) == 1 else "s")
    emulated = " bf16 is emulated: the processor lacks it." if record.get("emulated") else ""
    return (
        f"{c['processor']} with {c['vector_extensions']}, {threads}, torch "
        f"{c['torch'].split('+')[0]}, commit {c['commit']}.{emulated}\n"
    )


def training(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    rows = [
        [
            found["preset"],
            found["precision"],
            f"{found['images_per_second']:.1f}",
            f"{found['tensorflow_images_per_second']:.1f}",
            f"{found['times_faster']:.2f}",
            f"{found['share_of_peak']:.0%}",
            f"{found['most_times_faster']:.2f}",
        ]
        for found in record["results"]
    ]
    return [
        "preset",
        "precision",
        "images/s",
        "TensorFlow's images/s",
        "times faster",
        "share of the peak",
        "times faster at the peak",
    ], rows


def memory(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    rows = [
        [found["work"]]
        + [f"{found[mode]['images_per_second']:.1f}" for mode in ("with", "without")]
        + [f"{found['times_faster']:.2f}"]
        + [f"{found[mode]['peak_memory_MiB']:,}" for mode in ("with", "without")]
        for found in record["results"]
    ]
    return ["work", "images/s", "without", "times faster", "peak memory (MiB)", "without"], rows


def precision(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    kinds = ("training", "held_out")
    rows = [
        [str(r["seed"]), *(f"{r['relative_difference'][kind]:+.2%}" for kind in kinds)]
        for r in record["results"]
    ]
    mean = record["mean_relative_difference"]
    rows.append(["mean", *(f"{mean[kind]:+.2%}" for kind in kinds)])
    return ["seed", "training loss", "loss of held-out images"], rows


def main_job(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    rows = [[stage, f"{seconds:.1f}"] for stage, seconds in record["seconds_per_stage"].items()]
    rows.append(["in all", f"{record['seconds_in_all']:.1f}"])
    return ["stage", "seconds"], rows


def precision_choice(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    rows = [
        [
            found["size"],
            str(found["base_dim"]),
            f"{found['float32_images_per_second']:,.1f}",
            f"{found['bf16_images_per_second']:,.1f}",
            f"{found['times_faster']:.2f}",
        ]
        for found in record["results"]
    ]
    return ["preset", "base_dim", "float32, images/s", "bf16, images/s", "times faster"], rows


def before_and_after(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    rows = [
        [
            found["preset"],
            found["precision"],
            f"{found['before']:,.1f}",
            f"{found['after']:,.1f}",
            f"{found['times_faster']:.2f}",
        ]
        for found in record["results"]
    ]
    return ["preset", "precision", f"at {record['before']}, images/s", "now", "times faster"], rows


def distance(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    cases = {name: record[name] for name in ("full_rank", "rank_deficient")}
    rows = [
        [
            f"{case['samples']:,} samples, {case['dim']:,} features",
            f"{case['ours']['seconds']:.2f}",
            f"{case['scipy_sqrtm']['seconds']:.2f}",
            f"{case['times_faster']:.1f}",
            f"{case['relative_difference_to_scipy']:.0e}",
        ]
        for case in cases.values()
    ]
    return [
        "covariances of",
        "seconds",
        "seconds of SciPy's sqrtm",
        "times faster",
        "relative difference",
    ], rows


def networks(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    rows = [
        [name, str(found["features"]), f"{found['images_per_second']:.1f}"]
        for name, found in record.items()
        if isinstance(found, dict) and "features" in found
    ]
    return ["network", "features", "images/s"], rows


def preparation(record: dict[str, Any]) -> tuple[Row, list[Row]]:
    rows = [
        [
            found["from"],
            f"{found['images']:,}",
            str(found["workers"]),
            f"{found['images_per_second']:,.0f}",
            str(found["peak_resident_MiB"]),
        ]
        for found in record["results"]
    ]
    return ["from", "images", "threads", "images/s", "peak memory (MiB)"], rows


def on_gpu(folder: Path) -> list[str]:
    """The section on training and FID with a GPU, from the stages that were measured there."""
    records = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    done = {n: r for n, r in records.items() if r["status"] == "done" and not r["tiny"]}
    if not done:
        return [NO_GPU]
    c = next(iter(done.values()))["conditions"]
    where = f"{c['device']}, torch {c['torch'].split('+')[0]}, commit {c['commit']}.\n"
    speeds = [r["result"] for n, r in done.items() if n.startswith("speed-")]
    rows = [
        [
            found["preset"],
            found["library"]["precision"],
            f"{found['library']['images_per_second']:,.0f}",
            f"{found['plain_loop']['images_per_second']:,.0f}",
            f"{found['times_faster']:.1f}",
            f"{found['share_of_peak']:.0%}",
        ]
        for found in speeds
    ]
    plain = "plain float32 loop's images/s"
    columns = ["preset", "precision", "images/s", plain, "times faster", "share of the bf16 peak"]
    parts = ["## On a GPU\n", where, *([markdown(columns, rows)] if rows else [])]
    if "fid" in done:
        f = done["fid"]["result"]
        parts.append(
            f"FID of {f['images']:,} images, from latent vectors on: {f['seconds']:.1f} s;\n"
            f"with PNG files and pytorch-fid: {f['pytorch_fid']['seconds']:.1f} s.\n"
        )
    if "compile" in done:
        rows = [
            [r["variant"], str(r["batch_size"]), f"{r['images_per_second']:,.0f}"]
            for r in done["compile"]["result"]["rows"]
            if "images_per_second" in r
        ]
        parts.append(markdown(["torch.compile", "batch", "images/s"], rows))
    return parts


SECTIONS = {
    "main_job": ("The main job, `make run`", main_job),
    "cpu_training_bf16": (
        "Training on a CPU without AMX, in bf16, against the same layers in TensorFlow",
        training,
    ),
    "cpu_training_bf16_amx": (
        "Training on a CPU with AMX, in bf16, against the same layers in TensorFlow",
        training,
    ),
    "cpu_training_float32": (
        "Training on a CPU without bf16, in float32, against the same layers in TensorFlow",
        training,
    ),
    "cpu_memory": (
        "On a CPU: keeping freed memory, and giving large networks few images at a time",
        memory,
    ),
    "precision_choice": ("Training in bf16 against float32, on a CPU", precision_choice),
    "precision_loss_cpu": ("The loss at the end in bf16, against float32", precision),
    "frechet_distance": ("The Fréchet distance", distance),
    "feature_networks": ("Feature networks", networks),
    "celeba_preparation": ("Preparing CelebA, on stand-in files of its size", preparation),
    "before_and_after": ("Training on a CPU, against an earlier commit", before_and_after),
}

NOTES = {
    "cpu_training_bf16": """
TensorFlow computes in float32, as the authors' code does. The peak is the rate of the fastest
matrix product or convolution in the same run. The last column says how many times faster than
TensorFlow a training at this peak would be; only algorithms with fewer operations, such as
Winograd's, could be faster still.
""",
    "cpu_training_bf16_amx": """
AMX multiplies whole tiles of bf16 numbers in one instruction. This is another machine than that of
the section before, so compare the ratios, not the rates.
""",
    "precision_choice": """
Images per second of processor time, since other programs ran meanwhile. At every width measured
bf16 is faster, so `precision="auto"` takes it wherever the processor has it.
""",
    "precision_loss_cpu": """
How much the loss in bf16 differs from that in float32 with the same seed, averaged over the last
tenth of the steps. Below 0, bf16 is better.
""",
    "before_and_after": """
Images per second of processor time, since other programs ran meanwhile. "half-width" is the
paper's MNIST network at base_dim 32.
""",
    "cpu_memory": """
In the columns *without*, freed memory goes back to the system, and all 50 images of a batch go
through a feature network at once. Each turn is a process of its own.
""",
}


def page() -> str:
    parts = [HEAD]
    for name, (title, table) in SECTIONS.items():
        record = read_json(RECORDS / f"{name}.json")
        parts += [f"## {title}\n", on_what(record) + NOTES.get(name, ""), markdown(*table(record))]
    parts += on_gpu(RECORDS / "gpu")
    return "\n".join(parts)


if __name__ == "__main__":
    write_or_check(PAGE, page(), __doc__)
