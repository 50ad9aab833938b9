"""The session for a borrowed GPU: every kind of stage on the CPU, its budget, its files."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

import svae_lib as sv
from svae_lib.experiments.checkpoints import read_about

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGALRM")
sys.path.insert(0, str(BENCHMARKS))

import gpu_checks  # noqa: E402
import gpu_scores  # noqa: E402
import gpu_session  # noqa: E402
import gpu_speed  # noqa: E402
import peak  # noqa: E402
import session  # noqa: E402
from session import Context, Skipped, Stage, run_session, save_small  # noqa: E402

# One of each kind of stage; the other tables and presets take the same way.
KINDS = [
    "check-forward",
    "check-resumed",
    "check-precision",
    "matrix-peak",
    "fid-speed",
    "speed-mnist",
    "speed-celeba",
    "time-to-loss",
    "compact-mnist",
]


@pytest.fixture(scope="module")
def tiny_session(tmp_path_factory) -> Path:
    """Results of a tiny session."""
    out = tmp_path_factory.mktemp("gpu") / "out"
    arguments = ["--tiny", "--device", "cpu", "--out", str(out), "--stages", *KINDS]
    assert gpu_session.main(arguments) == 0
    return out


def results(out: Path) -> dict:
    return {
        k: v["result"] for k, v in json.loads((out / "session.json").read_text())["stages"].items()
    }


def test_every_kind_of_stage_is_done_and_says_where(tiny_session: Path) -> None:
    stages = json.loads((tiny_session / "session.json").read_text())["stages"]
    assert list(stages) == KINDS
    for entry in stages.values():
        assert entry["status"] == "done" and entry["seconds"] >= 0
        assert entry["conditions"]["device"] == "cpu"
        assert entry["conditions"]["torch"] == torch.__version__ and entry["conditions"]["commit"]
    kept = {path.name for path in tiny_session.iterdir() if not path.name.startswith(".")}
    assert kept == {
        "session.json",
        "compact-mnist.json",
        "compact-mnist-vae.safetensors",
        "compact-mnist-split-vae.safetensors",
    }
    for name, cls in (("vae", sv.VAE), ("split-vae", sv.SplitVAE)):
        assert isinstance(sv.load_model(tiny_session / f"compact-mnist-{name}.safetensors"), cls)


def test_the_cpu_agrees_with_itself(tiny_session: Path) -> None:
    found = results(tiny_session)
    assert found["check-forward"]["gradients"]["difference"] == 0
    assert found["check-resumed"]["bit_identical"]
    bf16 = found["check-precision"]["reconstructions"]["bf16"]["difference"]
    assert 0 < bf16 < 0.01  # it was computed in another arithmetic


def test_speeds_and_scores_hang_together(tiny_session: Path) -> None:
    found = results(tiny_session)
    speed = found["speed-mnist"]
    rows = {row["way"]: row for row in speed["rows"]}
    assert set(rows) == {way.name for way in gpu_speed.ways((4, 6, 8), more=True)}
    assert not speed["left_out"] and not any("failed" in row for row in rows.values())
    assert rows[speed["best"]]["images_per_second"] == speed["images_per_second"]
    assert not rows[speed["best"]]["plain"]
    for way, times in speed["times_the_plain_loop"].items():
        ratio = speed["images_per_second"] / rows[way]["images_per_second"]
        assert rows[way]["plain"] and times == pytest.approx(ratio, rel=0.02, abs=0.006)
    scores = found["fid-speed"]
    # Both sides have the same images, weights and formula; pytorch-fid's PNGs are 8 bit as ours.
    assert scores["relative_difference"] < 1e-3
    assert not scores["genuine_weights"]
    losses = found["time-to-loss"]
    reference = losses["rows"][0]["curve"]
    assert losses["target"] == min(loss for _, _, loss in reference)
    assert losses["rows"][0]["seconds_to_target"] in [seconds for _, seconds, _ in reference]


def test_a_second_start_repeats_nothing(tiny_session: Path, monkeypatch) -> None:
    def never(context):
        raise AssertionError

    stages = [Stage(name, 0, never) for name in KINDS]
    monkeypatch.setattr(gpu_session, "STAGES", stages)
    before = (tiny_session / "session.json").read_text()
    arguments = ["--tiny", "--device", "cpu", "--out", str(tiny_session)]
    assert gpu_session.main(arguments) == 0
    assert (tiny_session / "session.json").read_text() == before


def test_stages_and_documentation_agree() -> None:
    names = [stage.name for stage in gpu_session.STAGES]
    assert len(set(names)) == len(names) and set(KINDS) <= set(names)
    assert gpu_session.__doc__ is not None
    for name in names:
        assert name in gpu_session.__doc__ or f"{name.split('-')[0]}-*" in gpu_session.__doc__
    for name in (*gpu_session.COMPACT, *gpu_session.PAPER):
        assert name in gpu_scores.EXTRA or name in gpu_scores.tables.TABLES


def test_operations_are_those_of_the_layers() -> None:
    """A linear layer's share is known by hand: forward and twice that backward, 2 per product."""
    small = sv.ModelConfig(latent_dim=4, base_dim=4, embedding_dim=16)
    large = sv.ModelConfig(latent_dim=5, base_dim=4, embedding_dim=16)
    more = peak.flops_per_image(large) - peak.flops_per_image(small)
    assert more == 3 * (3 * 2 * 16)  # mu, log_var and back: one more row of 16 weights each


def test_what_promises_most_comes_first_and_nothing_twice() -> None:
    few, all_of_them = (gpu_speed.ways((100, 500, 1000), more) for more in (False, True))
    assert all_of_them[: len(few)] == few and len(set(all_of_them)) == len(all_of_them)
    assert few[0].plain and few[0].batch_size == 100  # what everything is compared with
    assert few[2] == gpu_speed.Way(1000, "default")
    assert {way.compile for way in all_of_them} >= {"", "default", "reduce-overhead"}
    for way in all_of_them:
        assert way.written_as in gpu_speed.FORMULATIONS and way.options in gpu_speed.OPTIONS


@pytest.mark.parametrize("name", [name for name in gpu_speed.FORMULATIONS if name])
def test_another_formulation_is_the_same_function(name: str) -> None:
    """Outputs and gradients in float64, where rounding hides nothing."""
    config = sv.ModelConfig(latent_dim=3, base_dim=5, embedding_dim=7, channels=3)
    x, noise = torch.rand(4, 3, 32, 32).double(), torch.randn(4, 3).double()
    found = []
    for formulation in ("", name):
        model = sv.build_model("split-vae", config, seed=1).double().train()
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.sin(torch.arange(parameter.numel())).view_as(parameter)
        with gpu_speed.written_as(formulation):
            for owner, attribute, other in gpu_speed.FORMULATIONS[formulation]:
                assert getattr(owner, attribute) is other
            loss = model.loss(x, noise, 0.1, 2.0).total
        loss.backward()
        found.append((loss, *(p.grad for p in model.parameters())))
    for ours, other in zip(*found, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-8, atol=1e-10)


def test_what_a_stage_measured_survives_and_is_not_measured_again(
    context: Context, monkeypatch
) -> None:
    measured = []

    def row(context, way, *rest):
        measured.append(way.name)
        if len(measured) == 4:
            raise session.DeviceLost("gone")
        return {"way": way.name, **dataclasses.asdict(way), "loss_after_warm_up": math.nan}

    monkeypatch.setattr(gpu_speed, "_row", row)
    stage = Stage("speed", 0, functools.partial(gpu_speed.training_speed, preset="mnist"))
    record = run_session([stage], context, 1)["stages"]["speed"]
    assert record["status"] == "failed" and len(record["noted"]["rows"]) == 3
    written = json.loads((context.out / "session.json").read_text())["stages"]["speed"]
    assert written["noted"]["rows"][0]["loss_after_warm_up"] == "nan"
    done = run_session([stage], context, 1)["stages"]["speed"]
    assert done["status"] == "done"
    assert measured[4:] == [measured[3], *measured[5:]] and len(set(measured)) == len(measured) - 1
    assert {row["way"] for row in done["result"]["rows"]} == set(measured)


def test_models_are_trained_in_the_fastest_way_known(context: Context, monkeypatch) -> None:
    def row(batch_size: int, compile: str, rate: float, **other: str) -> dict:
        usual = {"written_as": "", "options": ""}
        return {"batch_size": batch_size, "compile": compile, "images_per_second": rate} | (
            usual | other
        )

    rows = [row(100, "default", 3.0), row(100, "reduce-overhead", 4.0), row(1000, "default", 9.0)]
    rows += [row(100, "", 8.0), row(100, "default", 7.0, options="combined")]
    agree = gpu_checks.judged(0.0, 0.01)
    assert gpu_speed.fastest_mode(context) is None  # nothing is known yet
    context.done["speed-mnist"] = {"rows": rows, "losses_at_equal_batch": agree}
    assert gpu_speed.fastest_mode(context) == "reduce-overhead"
    seen = []

    def reproduce(name, **options):
        seen.append(sv.training.compiler_options(None))
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu_scores.tables, "reproduce", reproduce)
    with pytest.raises(KeyboardInterrupt):
        gpu_scores.course_table(context, "compact-mnist")
    assert seen[0]["triton.cudagraphs"] is True
    context.done["speed-mnist"]["losses_at_equal_batch"] = gpu_checks.judged(0.5, 0.01)
    assert gpu_speed.fastest_mode(context) is None  # fast and wrong


def test_a_way_that_fails_or_hangs_is_noted_and_the_next_goes_on(
    context: Context, monkeypatch
) -> None:
    def measured(context, way, *rest):
        if way.plain:
            raise torch.OutOfMemoryError("too large")
        while True:
            time.sleep(0.001)

    monkeypatch.setattr(gpu_speed, "_measured", measured)
    monkeypatch.setattr(gpu_speed, "LONGEST", 0.05)
    result = gpu_speed.training_speed(context, "celeba")
    failures = {row["way"]: row["failed"] for row in result["rows"]}
    assert failures.pop("plain loop, batch 4") == "OutOfMemoryError('too large')"
    assert failures.pop("plain loop, batch 8") == "OutOfMemoryError('too large')"
    assert set(failures.values()) == {"given up after 0 s"}
    assert "best" not in result


def test_limits_work_in_a_background_job_too(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts one
    try:
        gpu_session.main(["--tiny", "--device", "cpu", "--out", str(tmp_path), "--minutes", "0"])
        with session.time_limit(0.05) as limit, pytest.raises(KeyboardInterrupt):
            while True:
                time.sleep(0.001)
        assert limit.expired
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_training_that_was_interrupted_is_no_measurement(tiny, fast, blobs) -> None:
    loop = gpu_speed._Library(
        sv.build_model("split-vae", tiny), blobs, fast, torch.device("cpu"), {}
    )
    inner = loop.trainer.train_step

    def step():
        signal.raise_signal(signal.SIGINT)
        return inner()

    loop.trainer.train_step = step
    with pytest.raises(KeyboardInterrupt):
        loop.fit(5)


# ---------------------------------------------------------------------- the runner


@pytest.fixture
def context(tmp_path: Path) -> Context:
    for name in ("out", "work"):
        (tmp_path / name).mkdir()
    return Context(torch.device("cpu"), tmp_path / "out", tmp_path / "work", tiny=True)


def test_a_failure_is_recorded_and_the_next_goes_on(context: Context, capsys) -> None:
    def fails(context):
        raise ZeroDivisionError("by nought")

    def lacks(context):
        raise Skipped("no data here")

    stages = [
        Stage("a", 0, fails),
        Stage("b", 0, lacks),
        Stage("c", 1000, lambda context: {}),
        Stage("d", 0, lambda context: {"n": 4}),
        Stage("e", 0, lambda context: {"twice": 2 * context.done["d"]["n"]}),
        Stage("f", 1000, lambda context: {"left": context.left()}, at_least=0.5),
    ]
    entries = run_session(stages, context, 1)["stages"]
    assert [entry["status"] for entry in entries.values()] == [
        "failed",
        "skipped",
        "no time",
        "done",
        "done",
        "done",
    ]
    assert 0 < entries["f"]["result"]["left"] <= 60
    assert "ZeroDivisionError: by nought" in entries["a"]["why"]
    assert "Traceback" in entries["a"]["why"]
    assert entries["e"]["result"] == {"twice": 8}
    said = capsys.readouterr().out
    assert "c: no time: it needs about 1000 minutes, and 1.0 are left" in said
    assert json.loads((context.out / "session.json").read_text())["stages"] == entries
    tried = []
    stages = [Stage("a", 0, lambda context: tried.append("a") or {}), *stages[1:]]
    again = run_session(stages, context, 1)["stages"]
    assert again["a"]["status"] == "done" and tried == ["a"]  # what failed is tried again


def test_a_stage_that_outlasts_the_time_is_cut_off(context: Context) -> None:
    def slow(context):
        while True:
            time.sleep(0.01)

    def unaware(context):  # as a training, which takes the interrupt for a wish to stop
        with pytest.raises(KeyboardInterrupt):
            slow(context)
        return {"wrong": True}

    for name, run in (("slow", slow), ("unaware", unaware)):
        stages = [Stage(name, 0, run), Stage("next", 0, lambda context: {})]
        entries = run_session(stages, context, 0.005)["stages"]
        assert entries[name]["status"] == "cut off" and "result" not in entries[name]
        assert entries["next"]["status"] == "no time" or entries["next"]["status"] == "cut off"


def test_limits_may_be_nested_and_insist() -> None:
    before = signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)
    with session.time_limit(0.2) as outer:
        for seconds in (0.02, 5):
            with session.time_limit(seconds, again=0.01) as inner, pytest.raises(KeyboardInterrupt):
                while True:
                    time.sleep(0.001)
            assert inner.expired == (seconds < 1)
    assert outer.expired
    interrupts = 0
    with session.time_limit(0.01, again=0.01):
        while interrupts < 3:  # whoever does not heed the first
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                interrupts += 1
    left, handler = signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)
    assert handler == before[1] and left == pytest.approx(before[0], abs=30)  # of the test itself


def test_nothing_is_begun_on_a_device_that_answers_no_longer(context: Context, capsys) -> None:
    def breaks(context):
        context.device = torch.device("meta")  # a tensor there has no value to compare
        raise RuntimeError("illegal memory access")

    stages = [Stage("a", 0, breaks), Stage("b", 0, lambda context: {})]
    entries = run_session(stages, context, 1)["stages"]
    assert entries["a"]["status"] == "failed" and entries["a"]["device_lost"]
    assert "b" not in entries and "start the session again" in capsys.readouterr().out


def test_the_user_may_interrupt(context: Context) -> None:
    def interrupted(context):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_session([Stage("a", 0, interrupted)], context, 1)


def test_a_table_that_is_cut_off_leaves_the_library_as_it_was(
    context: Context, monkeypatch
) -> None:
    seen = []
    presets, tables = dict(sv.PRESETS), dict(gpu_scores.tables.TABLES)

    def interrupted(name, **options):
        seen.append(gpu_scores.tables.TABLES[name].preset.train.steps)
        assert presets == sv.PRESETS  # the table has its preset with it
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu_scores.tables, "reproduce", interrupted)
    for name in ("compact-mnist", "mnist"):
        with pytest.raises(KeyboardInterrupt):
            gpu_scores.course_table(context, name)
    assert seen == [2, 2]
    assert presets == sv.PRESETS and tables == gpu_scores.tables.TABLES


def test_without_data_the_course_is_left_out(context: Context) -> None:
    full = Context(torch.device("cpu"), context.out, context.work)
    with pytest.raises(Skipped, match="--root"):
        gpu_scores.course_table(full, "compact-mnist")
    empty = Context(torch.device("cpu"), context.out, context.work, root=context.work)
    with pytest.raises(Skipped, match="does not hold mnist"):
        gpu_scores.course_table(empty, "compact-mnist")


def test_judgements() -> None:
    good, bad = gpu_checks.judged(0.1, 0.2), gpu_checks.judged(math.nan, 0.2)
    assert gpu_checks.all_passed({"a": [good, {"b": good}], "n": 3})
    assert not gpu_checks.all_passed({"a": [good, {"b": bad}]})


def test_models_are_stored_in_files_that_are_small_enough(
    context: Context, tiny, monkeypatch
) -> None:
    model = sv.build_model("split-vae", tiny, seed=4).eval()
    size = sum(2 * p.numel() for p in model.state_dict().values())
    whole = save_small(model, "m", {"n": 1}, context.out)
    assert whole["files"] == ["m.safetensors"] and whole["stored_as"] == "float16"
    assert read_about(context.out / "m.safetensors") == {"n": 1, "stored_as": "float16"}
    (context.out / "m.safetensors").unlink()
    monkeypatch.setattr(session, "LARGEST", int(0.6 * size))
    parts = save_small(model, "m", {"n": 1}, context.out)
    assert len(parts["files"]) > 1
    assert sorted(path.name for path in context.out.iterdir()) == sorted(parts["files"])
    contents = [(context.out / name).read_bytes() for name in parts["files"]]
    assert all(len(content) <= session.LARGEST for content in contents)
    weights = load(b"".join(contents))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name].float(), value.float(), atol=1e-3, rtol=1e-3)


def test_a_file_that_is_too_large_is_noticed(context: Context, monkeypatch) -> None:
    def writes(context):
        (context.out / "large.bin").write_bytes(bytes(101))
        return {}

    monkeypatch.setattr(session, "LARGEST", 100)
    entry = run_session([Stage("a", 0, writes)], context, 1)["stages"]["a"]
    assert entry["status"] == "failed" and "large.bin is larger" in entry["why"]
