"""The question bank for Moodle and for exams: valid GIFT, and a key that fits its exam."""

from __future__ import annotations

import html
import importlib
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from svae_lib.course.questions import Choice, Number, Question, registry

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
bank: Any = importlib.import_module("question_bank")
exporter: Any = importlib.import_module("export_questions")
exam: Any = importlib.import_module("draw_exam")


# ---------------------------------------------------------------- GIFT, as Moodle reads it


def read_gift(text: str) -> list[dict[str, Any]]:
    """Parse as Moodle's question/format/gift/format.php does.

    Blocks between empty lines; comments; escapes; the name; what stands in braces; the general
    feedback; then a range, or answers with their weights and feedback.
    """
    hidden: list[str] = []

    def hide(found: re.Match[str]) -> str:
        hidden.append("\n" if found[1] == "n" else found[1])
        return f"\0{len(hidden) - 1}\0"

    def show(part: str) -> str:
        return re.sub(r"\0(\d+)\0", lambda m: hidden[int(m[1])], part).strip()

    text = re.sub(r"\\([\\~=#{}:n])", hide, text)
    assert "\\" not in text  # a lone backslash would be taken for part of an escape
    questions, category = [], ""
    for block in re.split(r"\n\s*\n", text.strip()):
        assert not re.search(r"^\s*//", block, re.MULTILINE)  # a comment, which is left out
        if block.startswith("$CATEGORY:"):
            category = show(block.removeprefix("$CATEGORY:"))
            continue
        found = re.fullmatch(r"::([^:]+)::\[html\]([^{}~=#:]+)\{([^{}]*)\}", block)
        assert found, block
        name, asked, inside = found.groups()
        inside, _, general = inside.partition("####")
        question = {"name": show(name), "text": show(asked), "general": show(general)}
        question |= {"category": category, "choices": [], "range": None}
        if inside.startswith("#"):
            low, high = inside[1:].split("..")
            question["range"] = (float(low), float(high))
        else:
            for choice in inside.replace("=", "~=").split("~")[1:]:
                right, choice = choice.startswith("="), choice.removeprefix("=").strip()
                assert right or not re.match(r"%-*\d{1,2}\.?\d*%", choice)  # read as a weight
                answer, _, feedback = choice.partition("#")
                question["choices"].append((right, show(answer), show(feedback)))
        questions.append(question)
    return questions


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    return read_gift(exporter.gift())


def test_every_question_of_the_course_is_there_once(questions: list[dict[str, Any]]) -> None:
    asked = [q.name for group in registry().values() for q in group]
    essays = [item.name for item in bank.read_bank().values() if item.kind != "poll"]
    names = [q["name"] for q in questions]
    assert sorted(names) == sorted([*essays, *asked])
    assert len({q["category"] for q in questions}) == 3 * 11
    assert all(q["category"].startswith("$course$/top/") for q in questions)


def test_choices_and_their_feedback_survive(questions: list[dict[str, Any]]) -> None:
    by_name = {q["name"]: q for q in questions}
    for group in registry().values():
        for question in group:
            found = by_name[question.name]
            assert html.unescape(found["text"]).startswith(question.text)
            if isinstance(question.answers, Number):
                assert found["range"] == (question.answers.low, question.answers.high)
                assert all(map(math.isfinite, found["range"]))
                continue
            expected = [(c.right, c.text, c.feedback) for c in question.answers]
            assert [(r, html.unescape(t), html.unescape(f)) for r, t, f in found["choices"]] == [
                (right, " ".join(text.split()), " ".join(said.split()))
                for right, text, said in expected
            ]


def test_a_poll_is_the_same_in_bank_and_moodle_and_others_are_essays(
    questions: list[dict[str, Any]],
) -> None:
    by_name = {q["name"]: q for q in questions}
    for item in bank.read_bank().values():
        found = by_name[item.source or item.name]
        if item.kind == "poll":
            texts = [item.question, *(t for c in item.choices for t in (c.text, c.feedback))]
            exported = [found["text"], *(t for _, *both in found["choices"] for t in both)]
            assert [html.unescape(bank.to_html(t)) for t in texts] == [
                *map(html.unescape, exported)
            ]
            assert [c.right for c in item.choices] == [right for right, *_ in found["choices"]]
        else:
            assert len(found["general"]) > 20 and not found["choices"]


def test_what_gift_and_html_take_for_their_own_is_escaped() -> None:
    assert exporter.escape("a\\nu {b} = ~1 # x: y") == r"a\\nu \{b\} \= \~1 \# x\: y"
    shown = bank.to_html(r"If $\nu < 1$ *then* `a_b` & <b>")
    assert r"\(\nu &lt; 1\)" in shown and "&amp; &lt;b&gt;" in shown and "<code>a_b" in shown


def test_words_that_look_like_gift_arrive_as_they_are() -> None:
    text = r"a~b =c #d {e} f: ::g:: \nu \\ ####h [html] %50% // $CATEGORY: \{ \= end\\"
    choices = (Choice(text, text, right=True), Choice(f"no {text}", text))
    (found,) = read_gift(exporter._asked(Question(text, text, choices)))
    assert found["name"] == found["text"] == text and found["general"] == ""
    assert found["choices"] == [(True, text, text), (False, f"no {text}", text)]


def test_mathematics_is_handed_to_mathjax(questions: list[dict[str, Any]]) -> None:
    texts = " ".join(q["text"] + q["general"] for q in questions if "." in q["name"])
    assert texts.count(r"\(") == texts.count(r"\)") > 200 and "$" not in texts


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "q.gift"
    assert exporter.main(["--out", str(out)]) == 0 and exporter.main(["--out", str(out)]) == 1
    assert "exists" in capsys.readouterr().err
    folder = tmp_path / "exam"
    arguments = ["--seed", "3", "--out", str(folder)]
    assert exam.main(arguments) == 0 and exam.main(arguments) == 1
    assert "exists" in capsys.readouterr().err


# ---------------------------------------------------------------- exams


def test_an_exam_has_its_points_and_repeats_by_seed() -> None:
    drawn = exam.draw(1)
    assert sum(d.kind.points for d in drawn) == 40
    assert [d.item.kind for d in drawn] == ["poll"] * 4 + ["trap"] * 2 + ["derivation"] * 2
    assert [d.item.stars for d in drawn[-2:]] == [2, 3]
    assert len({d.item.notebook for d in drawn}) == len(drawn)
    assert exam.draw(1) == drawn
    assert len({tuple(d.item.name for d in exam.draw(seed)) for seed in range(10)}) == 10


def test_the_key_has_the_letters_of_its_exam() -> None:
    for seed in range(5):
        drawn = exam.draw(seed)
        paper, key = (exam.page(drawn, seed, key=k) for k in (False, True))
        for each in drawn:
            assert each.item.name in key
            if each.item.kind == "poll":
                shown = each.order["abcdefgh".index(each.letter)]
                assert shown == each.item.right and f"({each.letter})" in key
                said = [bank.to_html(each.item.choices[i].feedback) for i in each.order]
                places = [key.index(f"<li>{feedback}</li>") for feedback in said]
                assert places == sorted(places)
            else:
                said = [bank.to_html(each.item.answer)]
            assert all(answer in key and answer not in paper for answer in said)
    letters = {d.letter for seed in range(20) for d in exam.draw(seed) if d.letter}
    assert letters == set("abcd")


def test_notebooks_can_be_left_out_while_questions_remain() -> None:
    assert not {d.item.notebook for d in exam.draw(2, without=[5, 9])} & {5, 9}
    with pytest.raises(bank.BankError, match="derivation"):
        exam.draw(2, without=range(1, 10))


def test_a_notebook_that_does_not_exist_cannot_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "exam"
    assert exam.main(["--seed", "7", "--without", "5", "42", "--out", str(out)]) == 1
    assert "no notebook 42" in capsys.readouterr().err and not out.exists()


def test_the_printed_exam_asks_about_what_lectures_teach(tmp_path: Path) -> None:
    """In a lecture's plan, deck 9 gives no more than an outlook."""
    text = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    (options,) = re.findall(r"`python scripts/draw_exam\.py ([^`]*)`", text)
    assert exam.main([*options.split(), "--out", str(tmp_path / "exam")]) == 0
    plan = (ROOT / "docs" / "syllabus.md").read_text(encoding="utf-8")
    taught = re.findall(r"^\| \d \| .*$", plan, re.MULTILINE)
    numbers = {int(n) for row in taught for n in re.findall(r"\[(\d+)\]", row)} | {0}
    seed, *without = map(int, re.findall(r"\d+", options))
    assert {d.item.notebook for d in exam.draw(seed, without)} <= numbers
    assert numbers | set(without) == set(range(11)) and not numbers & set(without)


@pytest.mark.parametrize("source", ["00-no-such-question", "10-black-pixel"])
def test_a_poll_that_no_notebook_asks_is_refused(source: str, tmp_path: Path) -> None:
    text = bank.BANK.read_text(encoding="utf-8").replace("00-quiz-bytes", source)
    (tmp_path / "bank.md").write_text(text, encoding="utf-8")
    with pytest.raises(bank.BankError, match=rf"0\.1: .*{source}"):
        bank.read_bank(tmp_path / "bank.md")


# ---------------------------------------------------------------- bank and notebooks


def test_the_bank_tells_what_the_notebooks_tell() -> None:
    page = bank.BANK.read_text(encoding="utf-8")
    assert bank.updated(page) == page
    stale = page.replace("A byte ends at 255.", "A byte ends.").replace("[1.1](#q1-1), ", "")
    assert stale != page and bank.updated(stale) == page


def test_each_question_of_a_quiz_is_one_poll_of_its_notebook() -> None:
    items = [item for item in bank.read_bank().values() if item.kind == "poll"]
    polls = {item.source: item.notebook for item in items}
    assert len(polls) == len(items)
    assert all(int(source[:2]) == notebook for source, notebook in polls.items())
    for kind, group in registry().items():
        if kind.endswith("-quiz"):
            assert 3 <= len(group) <= 5
            assert {question.name for question in group} <= set(polls)


def test_text_of_a_question_is_no_markdown() -> None:
    assert bank.to_html(bank._plain("*a* _b_ `c` $d$ [e](f) \\g <h>")) == (
        "*a* _b_ `c` $d$ [e](f) \\g &lt;h&gt;"
    )
