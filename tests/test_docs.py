"""The pages beside the notebooks: links resolve, and the question bank is complete."""

from __future__ import annotations

import itertools
import json
import os
import pkgutil
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from svae_lib.experiments.records import read_table
from svae_lib.experiments.tables import Estimate, died

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import build_results  # noqa: E402
import build_speed  # noqa: E402
import question_bank as bank  # noqa: E402

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "data/**/*.md", "results/*.md", "tests/reference/*.md")
    for path in ROOT.glob(pattern)
)
BANK = (ROOT / "docs" / "question_bank.md").read_text(encoding="utf-8")
TEACHING = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What a link into a page may name after #: its headings, as GitHub names them, and ids."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    return named | set(re.findall(r'<a id="([^"]+)">', text))


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:href|src)="([^"]+)"', text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_anchors_resolve(page: Path) -> None:
    for target in links(page):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_images_have_alternative_text_and_headings_are_in_order(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"!\[\s*\]\(", text)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1 and levels.count(1) == 1
    for above, below in itertools.pairwise(levels):
        assert below <= above + 1


def formulas(page: Path) -> list[str]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.DOTALL)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_formulas_survive_markdown(page: Path) -> None:
    r"""GitHub takes a backslash before punctuation away, and pairs asterisks: \\, and x^* break."""
    assert [f for f in formulas(page) if re.search(r"\\[^A-Za-z]|\*.*\*", f)] == []


def test_the_index_lists_every_page() -> None:
    listed = set(links(ROOT / "docs" / "index.md"))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"} <= listed


CODE = re.compile(r"`((?:svae_lib|sv)\.[\w.]+)`|\b(?:from|import) (svae_lib[\w.]*)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_and_files_that_a_page_mentions_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in {a or b for a, b in CODE.findall(text)}:
        assert resolves(name.rstrip(".").replace("sv.", "svae_lib.", 1 if name[2] == "." else 0)), (
            name
        )
    for name in set(re.findall(r"`([\w/]+\.py)`", text)):
        places = (ROOT, page.parent, ROOT / "svae_lib", ROOT / "scripts", ROOT / "benchmarks")
        if name not in ("exchange.py",) and not re.search(r"NN", name):
            assert any((place / name).exists() for place in places), name


def resolves(dotted: str) -> bool:
    """Whether a name of the library can be imported, or is an attribute of what can."""
    try:
        pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


SHELL = [*PAGES, ROOT / "Makefile", *(ROOT / "svae_lib").rglob("*.py")]
SHELL += [*(ROOT / "scripts").glob("*.py"), *(ROOT / "notebooks" / "source").glob("*.py")]


def test_what_pip_is_asked_for_stands_in_quotes_that_every_shell_knows() -> None:
    """cmd.exe hands single quotes to pip."""
    asked = {p: re.findall(r"pip (?:install|download)[^`\n]*", p.read_text("utf-8")) for p in SHELL}
    quoted = {p: [line for line in found if " '" in line] for p, found in asked.items()}
    assert {p.name: lines for p, lines in quoted.items() if lines and p.name != "Makefile"} == {}


def test_what_an_installation_without_a_network_needs_is_downloaded_before() -> None:
    """Building the library takes hatchling, and an editable build its package editables."""
    (asked,) = re.findall(r"`pip download ([^`]*)`", TEACHING)
    assert {'".[course]"', "hatchling", "editables"} <= set(asked.split())


def test_what_a_lecturer_makes_is_not_published(tmp_path: Path) -> None:
    """What docs/teaching.md's commands make stays out of `git add --all` of docs/publish.md."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    made = ["handed_in/a.ipynb", "marks.csv", "marks_pages/a.html", "exam_7/key.html"]
    made += ["questions.gift", "wheels/torch.whl", "split-vae-course.zip"]
    check = ["git", "check-ignore", *made]
    ignored = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True).stdout
    assert ignored.splitlines() == made
    assert (ROOT / "docs" / "publish.md").read_text("utf-8").count("git status\n   git add") == 1


def test_the_readme_sets_no_variable_as_only_posix_shells_do() -> None:
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    assert not [b for b in blocks if re.search(r"^\s*[A-Z_]+=\S+ ", b, re.MULTILINE)]


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, without the folder of their programs."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found is not None
    return [line.strip().replace("$(BIN)/", "") for line in found[1].splitlines()]


def test_pre_commit_runs_the_commands_of_make_lint() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == recipe("lint")


def test_the_workflow_runs_the_two_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("## Two commands")[1].split("```")[1]
    commands = re.findall(r"^make \w+", block, re.MULTILINE)
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))
    steps = [step.get("run") for step in flow["jobs"]["test"]["steps"]]
    assert len(commands) == 2 and [s for s in steps if s in commands] == commands


def test_make_lab_opens_a_notebook_from_a_folder_that_holds_its_links_too() -> None:
    (command,) = recipe("lab")
    options = dict(re.findall(r"--\w+\.(\w+)=(\S+)", command))
    root = (ROOT / options["root_dir"]).resolve()
    opened = root / options["default_url"].removeprefix("/lab/tree/")
    notebook = json.loads(opened.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)", "".join(cell["source"])):
            there = (opened.parent / target).resolve()
            assert there.exists() and there.is_relative_to(root), target


@pytest.mark.thorough
def test_jupyter_serves_a_page_that_notebooks_link_to(tmp_path: Path) -> None:
    (command,) = recipe("lab")
    program, *options = command.split()
    given = os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    more = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--IdentityProvider.token=secret"]
    start = [Path(sys.executable).with_name(program), *options, *more]
    with subprocess.Popen(start, cwd=ROOT, env=given, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                if found := list(tmp_path.glob("jpserver-*.json")):
                    break
                time.sleep(0.1)
            (facts,) = (json.loads(path.read_text()) for path in found)
            address = f"{facts['url']}files/docs/glossary.md?token=secret"
            with urllib.request.urlopen(address, timeout=30) as page:
                assert page.read().startswith(b"# Glossary")
        finally:
            server.terminate()


# ---------------------------------------------------------------- the question bank

QUESTIONS = list(bank.read_bank().values())


def test_the_bank_is_large_and_every_question_has_its_form() -> None:
    assert len(QUESTIONS) >= 40
    assert {q.kind for q in QUESTIONS} == set(bank.KINDS)
    assert {q.stars for q in QUESTIONS} == {1, 2, 3}
    assert all((q.kind == "poll") == bool(q.source) == bool(q.choices) for q in QUESTIONS)


def test_questions_are_numbered_by_notebook_and_each_notebook_has_some() -> None:
    named = re.findall(r'<a id="q(\d+-\d+)"></a>\n\n\*\*(\d+\.\d+) · ', BANK)
    assert len(named) == len(QUESTIONS) == BANK.count("<a id=")
    assert all(anchor.replace("-", ".") == number for anchor, number in named)
    numbers: dict[int, list[int]] = {}
    for question in QUESTIONS:
        numbers.setdefault(question.notebook, []).append(question.number)
    assert sorted(numbers) == sorted(bank.chapters())
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1)) and len(found) >= 3


def test_dollars_are_paired_in_questions_and_answers() -> None:
    for question in QUESTIONS:
        for text in (question.question, question.answer):
            assert re.sub(r"`[^`]*`|\\\$", "", text).count("$") % 2 == 0, text


def test_the_answer_that_names_a_record_agrees_with_it() -> None:
    """Question 8.6: no living run of the table has an idle latent variable."""
    record = json.loads((ROOT / "results" / "mnist-5k.json").read_text(encoding="utf-8"))
    models = ("vae", "split-vae")
    cells = [c for c in record["cells"] if c["variant"] in models and not died(c)]
    assert {c["variant"] for c in cells} == set(models)
    assert all(c["latent"]["active"] == c["latent"]["latent_dim"] for c in cells)


def test_the_answers_about_seeds_and_dead_runs_agree_with_the_records() -> None:
    """Questions 4.9, 8.9, notebook 4: six of seven seeds have one kind, whatever beta; 8.10."""
    splits = json.loads((ROOT / "results" / "splits.json").read_text(encoding="utf-8"))
    kinds: dict[int, list[str]] = {}
    for cell in splits["cells"]:
        kinds.setdefault(cell["seed"], []).append(cell["split"]["label"])
    assert [len(found) for found in kinds.values()] == [3] * 7
    assert sum(len(set(found)) == 1 for found in kinds.values()) == 6
    semantic = [found.count("semantic") for found in kinds.values()]
    assert (sum(semantic), sum(count > 0 for count in semantic)) == (14, 5)

    runs = json.loads((ROOT / "results" / "mnist-5k.json").read_text(encoding="utf-8"))["cells"]
    dead = [cell["variant"] for cell in runs if died(cell)]
    assert (dead.count("vae"), dead.count("split-vae")) == (1, 0)


# ---------------------------------------------------------------- results


def test_the_page_of_results_is_made_from_the_records() -> None:
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == build_results.page()


def test_the_page_of_speed_is_made_from_the_records() -> None:
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert text == build_speed.page()
    for name in ("cpu_training_bf16", "cpu_training_bf16_amx", "cpu_training_float32"):
        path = build_speed.RECORDS / f"{name}.json"
        for found in json.loads(path.read_text(encoding="utf-8"))["results"]:
            assert f"| {found['times_faster']:.2f} |" in text


def test_records_of_a_session_on_a_gpu_become_a_section(tmp_path: Path) -> None:
    assert build_speed.on_gpu(tmp_path) == [build_speed.NO_GPU]
    result = {"images": 10_000, "seconds": 2.0, "pytorch_fid": {"seconds": 60.0}}
    where = {"device": "a card", "torch": "2.11.0+cu130", "commit": "abc"}
    record = {"status": "done", "tiny": False, "conditions": where, "result": result}
    (tmp_path / "fid.json").write_text(json.dumps(record), encoding="utf-8")
    assert "10,000 images" in "".join(build_speed.on_gpu(tmp_path))


def test_every_record_has_its_table_and_published_figures_a_column(
    monkeypatch, tmp_path: Path
) -> None:
    """A table that the library does not know by itself is shown too."""
    record = json.loads((ROOT / "results" / "k-way.json").read_text(encoding="utf-8"))
    (tmp_path / "results").mkdir()
    for name in ("mnist", "one-more"):
        text = json.dumps(record | {"table": name})
        (tmp_path / "results" / f"{name}.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(build_results, "ROOT", tmp_path)
    monkeypatch.setattr(build_results, "WEIGHTS", tmp_path / "results" / "none.json")
    page = build_results.page()
    assert page.index("## mnist\n") < page.index("## one-more\n")
    scores = [
        row["fid"]["value"]
        for cell in read_table(ROOT / "results" / "k-way.json")["cells"]
        for row in cell["rows"]
        if (cell["variant"], row["source"], row["part"]) == ("split-vae", "mixture", "x")
    ]
    lines = dict(re.findall(r"^\| (mnist|celeba) \| mixture \| x \| (.*) \|$", page, re.MULTILINE))
    assert lines["mnist"].startswith(f"{Estimate.of(scores)} | 7.47 | FID (LeNet); 1,000 generated")
    assert lines["celeba"].startswith("not recorded | 35.1 | – | README of the authors' code")


# ---------------------------------------------------------------- teaching


def test_lectures_fill_their_minutes_without_gaps() -> None:
    lectures = re.split(r"^## Lecture \d", TEACHING, flags=re.MULTILINE)[1:]
    for lecture, minutes in zip(lectures, (90, 90, 90, 60), strict=True):
        rows = re.findall(r"^\| (\d+)-(\d+) \|", lecture.split("\n## ")[0], re.MULTILINE)
        edges = [(int(begin), int(end)) for begin, end in rows]
        assert edges[0][0] == 0 and edges[-1][1] == minutes
        assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))


def test_links_to_questions_say_where_they_lead() -> None:
    found = re.findall(r"\[(\d+)\.(\d+)\]\(question_bank\.md#q(\d+)-(\d+)\)", TEACHING)
    assert len(found) > 30
    assert all((a, b) == (c, d) for a, b, c, d in found)


def test_under_slurm_accelerate_begins_a_run_and_resumes_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    choice = re.search(r"^RUN=.*?^fi$", page, re.MULTILINE | re.DOTALL)
    launch = re.search(r"^export FIRST.*?'$", page, re.MULTILINE | re.DOTALL)
    assert choice is not None and launch is not None
    for name, body in {"srun": 'exec "$@"', "accelerate": 'echo "$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    script = f"{choice[0]}\nFIRST=a\n{launch[0]}"
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_NNODES": "2", "SLURM_NODEID": "1"}

    def words() -> str:
        """What the training is started with."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path, env=given, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split("svae_lib train ")[1]

    assert words().startswith("--out runs/celeba-16 --preset celeba --train.batch-size 1600 ")
    (tmp_path / "runs/celeba-16").mkdir(parents=True)
    (tmp_path / "runs/celeba-16/run.json").touch()
    assert words() == "--resume runs/celeba-16\n"


def test_the_command_that_draws_predictions_shows_them_in_every_file(tmp_path: Path) -> None:
    """Three names for the whole class; what somebody left empty is drawn like the rest."""
    from svae_lib.course.questions import registry

    (block,) = re.findall(r"```bash\n(drawn=.*?)```", TEACHING, re.DOTALL)
    names = [question.name for question in registry()["03"]]
    (tmp_path / "handed_in" / "bo b").mkdir(parents=True)
    for file, answer in (("anna.ipynb", ', "a"'), ("bo b/3.ipynb", "")):
        cells = []
        for name in names:
            kinds = (
                ("markdown", f"Prediction: since {name}"),
                ("code", f'predict("{name}"{answer})'),
            )
            cells += [{"cell_type": k, "source": s, "metadata": {}} for k, s in kinds]
        for cell in cells[1::2]:
            cell |= {"outputs": [], "execution_count": None}
        text = json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells})
        (tmp_path / "handed_in" / file).write_text(text, encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    given = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", block], cwd=tmp_path, env=given, capture_output=True, text=True, check=True
    )
    drawn, *shown = re.split(r"^=====.*\n", done.stdout, flags=re.MULTILINE)
    assert len(set(drawn.split()) & set(names)) == 3 and len(shown) == 2
    for name in drawn.split():
        assert f'predict("{name}", "a")' in shown[0] and f'predict("{name}")' in shown[1]
        assert all(f"since {name}" in part for part in shown)
    assert "only such cells" not in TEACHING + (ROOT / "docs" / "syllabus.md").read_text("utf-8")
    assert all(len(asked) >= 3 for kind, asked in registry().items() if len(kind) == 2)


def test_the_table_of_exercises_is_complete() -> None:
    from svae_lib.course import exercises

    for path in sorted((ROOT / "notebooks" / "source").glob("[0-9][0-9]_*.py")):
        row = re.search(rf"^\| {int(path.stem[:2])} \| (`.*) \|$", TEACHING, re.MULTILINE)
        assert row is not None
        assert set(re.findall(r"`(\w+)`", row[1])) == set(exercises.names(path.stem))
