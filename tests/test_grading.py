"""Homework: functions are checked, not words; and no notebook harms the grader or another one."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from svae_lib.cli import main
from svae_lib.course import exercises
from svae_lib.course.marking import HandedIn, Limits, Mark, Marked, grade, pages, read_folder, wire
from svae_lib.course.marking.confine import landlock_version
from svae_lib.course.marking.grading import Remote
from svae_lib.course.marking.learner import Learner, _failed, _parameters
from svae_lib.course.marking.process import Process, Stopped
from svae_lib.support.checks import InputError

ROOT = Path(__file__).resolve().parents[1]
HANDED_OUT = [
    path for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")) if exercises.names(path.stem)
]
SOLVED = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))

HEAD = "import os\nimport torch\nimport svae_lib as sv"
CHECK = 'mix = sv.exercises.check("mix", mix)'
RIGHT = f"def mix(sigma, x1, x2):\n    return sigma * x1 + (1 - sigma) * x2\n\n{CHECK}"
WRONG = RIGHT.replace("return sigma", "return -sigma")
SHORT = Limits(seconds=20, call_seconds=4, memory_gb=3)


def write(path: Path, *cells: str | tuple[str, str]) -> Path:
    """A notebook of code cells; a pair is a cell of another kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made: list[dict[str, Any]] = []
    for cell in cells:
        kind, source = ("code", cell) if isinstance(cell, str) else cell
        made.append({"cell_type": kind, "source": source, "metadata": {}})
        if kind == "code":
            made[-1] |= {"outputs": [], "execution_count": None}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read(path: Path, *cells: str | tuple[str, str]) -> HandedIn:
    write(path, *cells)
    (found,) = read_folder(path.parent)
    return found


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("path", HANDED_OUT, ids=lambda p: p.stem)
def test_a_notebook_of_the_course_is_recognised_by_its_exercises(
    path: Path, tmp_path: Path
) -> None:
    shutil.copy(path, tmp_path / "anna.ipynb")
    (found,) = read_folder(tmp_path)
    assert (found.student, found.notebook, found.problem) == ("anna", path.stem, "")
    needed = "\n".join(code for _, code in found.needed())
    assert all(name in needed for name in found.exercises)
    assert ".fit(" not in needed or "mixture.fit(" in needed  # no training
    assert found.predictions == () and len(found.asked) > 0 and found.with_library() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "no JSON"),
        (b"\xff\xfe\x00", "no notebook"),
        (b"[1]", "list of cells"),
        (b'{"cells": [3]}', "cell"),
        (b"[" * 100_000, "no notebook"),
        (b'{"cells": []}', "exercises"),
    ],
)
def test_what_is_no_notebook_of_the_course_has_a_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "b.ipynb").write_bytes(content)
    (found,) = read_folder(tmp_path)
    assert said in found.problem and "\n" not in found.problem
    marked = grade(found, SHORT)
    assert marked.total == 0 and marked.remarks == [found.problem]


def test_students_are_files_or_folders_and_checkpoints_are_none(tmp_path: Path) -> None:
    write(tmp_path / "anna.ipynb", RIGHT)
    write(tmp_path / "bert" / "x.ipynb", RIGHT)
    write(tmp_path / "bert" / ".ipynb_checkpoints" / "x-checkpoint.ipynb", RIGHT)
    assert [h.student for h in read_folder(tmp_path)] == ["anna", "bert"]


def test_lines_of_windows_and_of_jupyter_are_understood(tmp_path: Path) -> None:
    code = f"%matplotlib inline\n!ls\nhelp?\n{RIGHT}".replace("\n", "\r\n")
    found = read(tmp_path / "a.ipynb", code, "%%time\nx = 1", "%%bash\nrm -rf x")
    for _, python in found.cells:
        compile(python, "cell", "exec")
    assert "x = 1" in found.cells[1][1] and "rm" not in found.cells[2][1]
    assert read(tmp_path / "a.ipynb", RIGHT, "x = (7\n  % 2)").cells[1][1] == "x = (7\n  % 2)"


@pytest.mark.parametrize(
    "line",
    [
        "files = !ls",
        "took = %timeit -o one()",
        "!pip install \\\n    this \\\n    that",
        "%time y = 3",
        "%matplotlib inline\nx = (7\n  % 2)\nprint('x=%d' % x)",
        "display(1)",
        "get_ipython().run_line_magic('matplotlib', 'inline')",
        "import asyncio\nawait asyncio.sleep(0)",
    ],
)
def test_a_function_counts_below_what_only_jupyter_understands(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exercises, "check", exercises.check)  # the learner's process replaces it
    cells = read(tmp_path / "a.ipynb", HEAD, f"{line}\n{RIGHT}").cells
    found = Learner().run(list(cells), ["mix"])
    assert found.troubles == [] and len(found.functions["mix"]) == 1


def test_errors_on_purpose_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ipynb", RIGHT, "raise ValueError")
    content = json.loads(path.read_text())
    content["cells"][1]["metadata"]["tags"] = ["raises-exception"]
    path.write_text(json.dumps(content))
    (found,) = read_folder(tmp_path)
    assert [code for _, code in found.cells] == [RIGHT]


def test_only_what_the_functions_need_is_run_the_second_time(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.ipynb",
        HEAD,
        "one = 1\nsecret = train()\n",
        "def helper(x):\n    secret = x\n    return secret * one",
        RIGHT.replace("return sigma", "return helper(sigma)"),
        "while True: pass",
    )
    needed = "\n".join(code for _, code in found.needed())
    assert "def helper" in needed and "one = 1" in needed and "import torch" in needed
    assert "train()" not in needed and "while" not in needed


def test_predictions_count_where_they_are_filled_in(tmp_path: Path) -> None:
    names = [q.name for q in _questions("03")]
    assert len(names) >= 3
    found = read(
        tmp_path / "a.ipynb",
        RIGHT,
        f'sv.course.predict("{names[0]}", "a")',
        ("markdown", "**Prediction:** they differ"),
        f'sv.course.predict("{names[1]}")',
        ("markdown", "Prediction:"),
        f'sv.course.predict("{names[2]}")',
        f'sv.course.predict("{names[2]}", "no letter")',
        'sv.course.predict("no-such-question", "a")',
    )
    assert found.predictions == tuple(names[:2])


@pytest.mark.parametrize(
    ("call", "counts"),
    [
        ("'05-eight-steps', 26", True),
        ("'05-eight-steps', 2 + 8 * 3", True),
        ("'05-eight-steps', answer=26", True),
        ("answer=26, name='05-eight-steps'", True),
        ("'05-eight-steps', -1", True),
        ("'05-eight-steps', ...", False),
        ("'05-eight-steps', None", False),
        ("'05-eight-steps', answer=None", False),
        ("'05-eight-steps'", False),
    ],
)
def test_answers_count_in_every_form_that_the_notebook_takes(
    call: str, counts: bool, tmp_path: Path
) -> None:
    right = "def images_per_second(*a):\n    return 1"
    found = read(tmp_path / "a.ipynb", right, f"sv.course.predict({call})")
    assert found.predictions == (("05-eight-steps",) if counts else ())


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("**Prediction:** 26 ms", True),
        ("**Prediction**: 26 ms, since", True),
        ("prediction: 26", True),
        ("### Prediction\n\n26 ms", True),
        ("Prediction:", False),
        ("### Prediction", False),
        ("My predictions were wrong: 26", False),
    ],
)
def test_written_predictions_count_however_they_are_set(
    text: str, counts: bool, tmp_path: Path
) -> None:
    right = "def images_per_second(*a):\n    return 1"
    question = 'sv.course.predict("05-eight-steps")'
    found = read(tmp_path / "a.ipynb", right, ("markdown", text), question)
    assert len(found.predictions) == counts


def test_solutions_and_second_versions_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "anna" / "a.ipynb", HEAD, RIGHT)
    write(tmp_path / "anna" / "b.ipynb", HEAD, WRONG)
    write(tmp_path / "bert" / "notebooks" / "03.ipynb", HEAD, WRONG)
    write(tmp_path / "bert" / "notebooks" / "solutions" / "03.ipynb", HEAD, RIGHT)
    first, second, own, solution = read_folder(tmp_path)
    assert first.remarks == second.remarks == ("handed in more than once: choose one",)
    assert not own.remarks and not own.problem
    assert "not graded" in solution.problem and not solution.cells
    assert grade(first, SHORT, seed=0, whole=False).remarks[0] == first.remarks[0]


def test_one_broken_cell_costs_its_own_point_alone(tmp_path: Path) -> None:
    head = "def split_head(maps, c):\n    s, a, b = maps.split([1, c, c], 1)\n    return s, a, b"
    user = (
        "class SplitDecoder(torch.nn.Module):\n"
        "    def __init__(self, body, features, channels):\n"
        "        super().__init__()\n"
        "        self.body, self.c = body, channels\n"
        "        self.head = torch.nn.Conv2d(features, 1 + 2 * channels, 3, padding=1)\n"
        "    def forward(self, z):\n"
        "        s, x1, x2 = split_head(torch.sigmoid(self.head(self.body(z))), self.c)\n"
        "        return mix(s, x1, x2), x1, x2, s\n"
    )
    for number, cells in enumerate([(head, user), (head, "def mix(:", user)]):
        found = read(tmp_path / str(number) / "a.ipynb", HEAD, *cells)
        marked = grade(found, SHORT, seed=0, whole=False)
        assert marked.marks["mix"].status == "missing"
        assert "NameError" not in marked.marks["SplitDecoder"].message
        assert any("SyntaxError" in text for text in marked.remarks) == bool(number)


def _questions(notebook: str) -> Any:
    from svae_lib.course.questions import registry

    return registry()[notebook]


@pytest.mark.parametrize(
    "code",
    [
        "def mix(sigma, x1, x2):\n    return sv.mix(sigma, x1, x2)",
        "import svae_lib as other\ndef mix(*a):\n    return other.mix(*a)",
        "from svae_lib.course import exercises as e\nmix = e.registry()['mix'].reference",
        "right = sv.exercises.registry()['mix'].reference\ndef mix(*a):\n    return right(*a)",
    ],
)
def test_a_function_that_calls_the_library_is_named(code: str, tmp_path: Path) -> None:
    assert read(tmp_path / "a.ipynb", HEAD, f"{code}\n\n{CHECK}").with_library() == ["mix"]


@pytest.mark.parametrize("path", SOLVED, ids=lambda p: p.stem)
def test_no_solution_is_said_to_call_the_library(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    assert read_folder(tmp_path)[0].with_library() == []


# ---------------------------------------------------------------- what comes back is data


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor([[-0.66, 1.0, 2.5], [0.0, -3.25, 8.0]]),
        torch.tensor(1.5, dtype=torch.float64),
        torch.zeros(0, 3, dtype=torch.uint8),
        torch.tensor([True, False]),
        torch.tensor([1.75, -0.875], dtype=torch.bfloat16),
        np.arange(6.0).reshape(2, 3),
        np.float64(2.5),
        None,
        True,
        3,
        float("inf"),
        "text",
        Ellipsis,
        NotImplemented,
        (1, [torch.ones(2), None]),
    ],
    ids=repr,
)
def test_values_come_back_as_they_were_sent(value: Any) -> None:
    sent = wire.pack(wire.Answer(wire.encode(value, lambda module: 0)))
    reply = wire.unpack(sent)
    assert isinstance(reply, wire.Answer)
    _same(value, wire.decode(reply.value, lambda module: None))


def _same(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b) and a.dtype == b.dtype
    elif isinstance(a, np.ndarray | np.generic):
        assert np.array_equal(a, b) and a.dtype == b.dtype and a.shape == b.shape
    elif isinstance(a, tuple | list):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _same(x, y)
    else:
        assert a is b or a == b


def test_other_things_come_back_as_their_type_alone() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, ("false",)

    for value in (Evil(), 10**30, {"a": 1}, lambda: 0):
        data = wire.encode(value, lambda module: 0)
        assert isinstance(data, wire.Other)
        assert type(wire.decode(data, lambda module: None)).__name__ in (data.name, "object")


@pytest.mark.parametrize(
    "numbers",
    [
        wire.Numbers("torch.float32", (2,), b"1234"),
        wire.Numbers("torch.float32", (-1, -1), b"1234"),
        wire.Numbers("torch.load", (1,), b"1234"),
        wire.Numbers("|O", (1,), b"12345678", numpy=True),
        wire.Numbers("<f8", (10**9, 10**9), b"1234", numpy=True),
        wire.Numbers("torch.float32", (0, 2**63 - 1, 2**62), b""),
    ],
    ids=str,
)
def test_numbers_that_are_none_are_refused(numbers: wire.Numbers) -> None:
    with pytest.raises(wire.Garbled):
        wire.decode(numbers, lambda module: None)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 30, b"\x91" * 100_000, wire.pack(wire.Failed("a", "b", "c"))[:-1]]
)
def test_bytes_that_are_no_reply_are_refused(data: bytes) -> None:
    with pytest.raises(wire.Garbled):
        wire.unpack(data)


# ---------------------------------------------------------------- marks


def test_functions_count_and_words_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_SECRET", "hunter2")
    folder = tmp_path / "handed in"
    write(folder / "right.ipynb", HEAD, RIGHT)
    write(
        folder / "forged.ipynb",
        f"{HEAD}\nassert 'MY_SECRET' not in os.environ",
        "sv.exercises.check = sv.exercises.grade = lambda *a, **k: a[1]",
        f"{WRONG}\nprint('✓ mix: correct.')",
        "def mixgradients(grad_x, sigma, x1, x2):\n    return 1",
    )
    (folder / "=cmd.ipynb").write_text("hello")
    out = tmp_path / "marks.csv"
    assert main(["grade", str(folder), "--out", str(out), "--seed", "1"]) == 0
    capsys.readouterr()
    rows = {row["student"]: row for row in csv.DictReader(out.open(encoding="utf-8"))}
    assert {name: (row["mix"], row["total"]) for name, row in rows.items()} == {
        "right": ("1", "1"), "forged": ("0", "0"), "'=cmd": ("", "0"),
    }  # fmt: skip
    assert "JSON" in rows["'=cmd"]["remark"]
    assert "AssertionError" not in rows["forged"]["remark"]
    assert "mixgradients" in rows["forged"]["remark"]  # perhaps renamed
    page = (tmp_path / "marks_pages" / "forged.html").read_text(encoding="utf-8")
    assert "correct" not in page.lower() and "Hint" in page
    before = out.read_bytes()
    assert main(["grade", str(folder), "--out", str(out)]) == 2
    assert "exists" in capsys.readouterr().err and out.read_bytes() == before


def test_bad_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "m.csv")
    write(tmp_path / "a b.ipynb", RIGHT)
    write(tmp_path / "a_b.ipynb", RIGHT)
    (tmp_path / "empty").mkdir()
    for options, noun in (
        ([str(tmp_path / "none")], "folder"),
        ([str(tmp_path / "empty")], "notebooks"),
        ([str(tmp_path)], "page"),  # two pages of one name
        ([str(tmp_path), "--seconds", "0"], "seconds"),
        ([str(tmp_path), "--seed", "-1"], "seed"),
    ):
        assert main(["grade", *options, "--out", out]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and noun in said
    assert not Path(out).exists()


def test_pages_show_what_students_wrote_as_text() -> None:
    handed = HandedIn("<script>", "<b>.ipynb", notebook="03_split_decoder")
    marked = Marked(handed, {"mix": Mark("error", "<img>")}, ["<i>"])
    page = pages.page("<script>", [marked])
    assert all(f"<code>{name}</code>: missing" in page for name in handed.asked)
    assert handed.asked
    assert (
        "<script>" not in page and "<img>" not in page and "<b>" not in page and "<i>" not in page
    )
    assert pages.page_name("../../a b") == "a_b.html"


def test_the_engine_finds_through_the_wire_what_it_finds_beside_it(tmp_path: Path) -> None:
    """Gradients that are cut, changed arguments, modules, errors with their line."""
    found = read(
        tmp_path / "a.ipynb",
        f"{HEAD}\nfrom torch import nn",
        f"def mix(sigma, x1, x2):\n    return (sigma * x1 + (1 - sigma) * x2).detach()\n\n{CHECK}",
        "def mix_gradients(grad_x, sigma, x1, x2):\n    x1 -= x2\n    return grad_x, x1, x2",
        "def split_head(logits):\n    return logits.nowhere",
        "class SplitDecoder(nn.Module):\n"
        "    def __init__(self, body, features, channels):\n"
        "        super().__init__()\n"
        "        self.body = body\n"
        "        self.head = nn.Conv2d(features, 1 + 2 * channels, 3, padding=1)\n"
        "    def forward(self, z):\n"
        "        s, x1, x2 = sv.exercises.registry()['split_head'].reference("
        "self.head(self.body(z)))\n"
        "        return s * x1 + (1 - s) * x2, s, x1, x2",
    )
    marked = grade(found, SHORT, seed=0, whole=False)
    assert {n: m.status for n, m in marked.marks.items()} == {
        "mix": "wrong", "mix_gradients": "wrong", "split_head": "error", "SplitDecoder": "correct",
    }  # fmt: skip
    assert "gradient" in marked.marks["mix"].message
    assert "arguments" in marked.marks["mix_gradients"].message
    assert "logits.nowhere" in marked.marks["split_head"].message
    assert "SplitDecoder" in marked.remarks[-1]  # calls the library: for a person to look at


class Beside:
    """A learner in this very process: what goes to it and comes back still does so as bytes."""

    def __init__(self) -> None:
        self.learner = Learner()

    def ask(self, request: tuple[Any, ...], seconds: float) -> wire.Reply:
        name, *arguments = pickle.loads(pickle.dumps(request))
        try:
            return wire.unpack(wire.pack(getattr(self.learner, name)(*arguments)))
        except Exception as error:
            return wire.unpack(wire.pack(_failed(error)))


@pytest.mark.parametrize("name", exercises.names())
def test_every_usual_mistake_is_named_through_the_wire_and_the_reference_is_right(
    name: str,
) -> None:
    exercise = exercises.registry()[name]
    process = Beside()
    answers = {"": exercise.reference} | {m.name: m.function for m in exercise.mistakes}
    for mistake, function in answers.items():
        process.learner.functions = {name: [function]}
        there = Remote(process, name, 0, _parameters(function), 9, time.monotonic() + 99)  # type: ignore[arg-type]
        found, beside = exercises.grade(name, there, 5), exercises.grade(name, function, 5)
        assert (found.status, found.mistake) == (beside.status, beside.mistake), mistake
        assert (found.status == "correct") == (mistake == "")


@pytest.mark.thorough
@pytest.mark.parametrize("path", SOLVED, ids=lambda p: p.stem)
def test_every_solution_has_all_points(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    (found,) = read_folder(tmp_path)
    if not found.exercises or any(n not in path.read_text("utf-8") for n in found.exercises):
        pytest.skip("no exercises, or an older solution: tests/test_notebooks.py tells which")
    marked = grade(found, Limits(), seed=3, whole=False)
    assert {n: m.status for n, m in marked.marks.items()} == dict.fromkeys(
        found.exercises, "correct"
    )


# ---------------------------------------------------------------- notebooks that do harm

HOSTILE = {
    "hangs": ("while True: pass", "20 seconds"),
    "kills its kernel": ("os._exit(3)", "ended by itself"),
    "fills memory": ("x = []\nwhile True: x.append(torch.ones(2**24))", "cell 3"),
    "forks": ("while True:\n    os.fork()", "stopped"),
    "writes nonsense": (
        "for i in range(1, 60):\n    try: os.write(i, b'\\xff' * 1000)\n    except OSError: pass",
        "stopped",
    ),
}


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="os.fork and limits are POSIX'")
@pytest.mark.parametrize("name", HOSTILE)
def test_harm_costs_a_notebook_only_what_it_breaks_itself(name: str, tmp_path: Path) -> None:
    code, remark = HOSTILE[name]
    marked = grade(read(tmp_path / "a.ipynb", HEAD, RIGHT, code), SHORT, seed=0)
    assert remark in " ".join(marked.remarks)
    assert marked.marks["mix"].status == "correct"  # what stands above the harm still counts


@pytest.mark.thorough
def test_a_function_that_hangs_costs_itself_alone(tmp_path: Path) -> None:
    hanging = RIGHT.replace("return", "while True: pass\n    return")
    source = json.loads((ROOT / "notebooks/solutions/03_split_decoder.ipynb").read_text("utf-8"))
    (split_head,) = (
        "".join(c["source"]) for c in source["cells"] if "def split_head(" in "".join(c["source"])
    )
    marked = grade(read(tmp_path / "a.ipynb", HEAD, hanging, split_head), SHORT, seed=0)
    assert "4 seconds" in marked.marks["mix"].message
    assert marked.marks["split_head"].status == "correct"


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_files_and_secrets_of_others_are_out_of_reach(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    environ = f"/proc/{os.getpid()}/environ"
    assert Path(environ).read_bytes()
    code = [
        f"open({str(victim)!r}, 'w')",
        f"open({str(victim)!r})",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        f"open({environ!r}).read()",
        "open('mine.txt', 'w').write('a'); assert open('mine.txt').read() == 'a'",
    ]
    handed = read(tmp_path / "a.ipynb", *code, HEAD, RIGHT)
    cells = list(handed.cells)
    process = Process(3 * 2**30)
    try:
        process.begin()
        found = process.ask(("run", cells, ["mix"]), 20)
    finally:
        process.end()
    assert isinstance(found, wire.Found) and len(found.functions["mix"]) == 1
    assert [trouble.split(":")[1] for trouble in found.troubles] == [" PermissionError"] * 4
    assert victim.read_text() == "mine"


@pytest.mark.thorough
def test_a_process_that_is_gone_leaves_nothing_behind() -> None:
    process = Process(3 * 2**30)
    process.begin()
    process.end()
    assert not Path(process._home.name).exists()
    with pytest.raises(Stopped):
        process.ask(("begin",), 5)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode elsewhere")
def test_names_of_any_encoding_and_in_capitals_are_graded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "handed in"
    folder.mkdir()
    for name in ("M\udcfcller.ipynb", "B.IPYNB"):
        (folder / name).write_text("hello")
    (folder / "carl").mkdir()
    out = tmp_path / "marks.csv"
    assert main(["grade", str(folder), "--out", str(out), "--quick"]) == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["student"] for row in rows] == ["B", "M\\udcfcller"]
    assert "carl" in capsys.readouterr().out  # handed in no notebook
    for bad in (".", str(tmp_path), "/"):
        assert main(["grade", str(folder), "--out", bad, "--quick", "--overwrite"]) == 2


def test_no_folder_no_grading(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_folder(tmp_path)


@pytest.mark.thorough
def test_many_slow_calls_cost_an_exercise_its_time_and_no_more(tmp_path: Path) -> None:
    slow = RIGHT.replace("return", "import time; time.sleep(1.5)\n    return")
    found = read(tmp_path / "a.ipynb", HEAD, slow)
    marked = grade(found, Limits(seconds=20, call_seconds=2, memory_gb=3), seed=0, whole=False)
    assert marked.marks["mix"].status == "error"


def test_marks_given_before_a_stop_are_kept(tmp_path: Path, monkeypatch, capsys) -> None:
    from svae_lib.cli import grade as command

    folder, out = tmp_path / "in", tmp_path / "marks.csv"
    for name in ("anna", "bert", "carl"):
        write(folder / f"{name}.ipynb", HEAD, RIGHT)
    inner = command.grade

    def stopped(each: HandedIn, *arguments: Any, **options: Any) -> Marked:
        if each.student == "carl":
            raise KeyboardInterrupt
        return inner(each, *arguments, **options)

    monkeypatch.setattr(command, "grade", stopped)
    assert main(["grade", str(folder), "--out", str(out), "--quick"]) == 130
    with out.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    assert "anna" in text and "bert" in text and "carl" not in text
    assert "2 of 3 notebooks" in capsys.readouterr().out
    out.write_text("all three, from yesterday")
    assert main(["grade", str(folder), "--out", str(out), "--quick", "--overwrite"]) == 130
    assert out.read_text() == "all three, from yesterday"
    assert "anna" in (tmp_path / "marks.partial.csv").read_text(encoding="utf-8-sig")
    assert (tmp_path / "marks_pages.partial" / "anna.html").exists()
    capsys.readouterr()
    monkeypatch.setattr(
        command, "grade", lambda *a, **o: stopped(HandedIn(**vars(a[0]) | {"student": "carl"}))
    )
    assert main(["grade", str(folder), "--out", str(tmp_path / "none.csv"), "--quick"]) == 130
    assert not (tmp_path / "none.csv").exists()
