"""Predictions, quizzes and progress: what a learner sees, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import svae_lib as sv
from svae_lib.course import asking, questions, record
from svae_lib.course.questions import Choice, Number, Question

CHOOSE = Question(
    "99-choose", "Which?", (Choice("red", "No, blue."), Choice("blue", "Yes.", right=True))
)
GUESS = Question("99-guess", "How many?", Number(3, 4, "Yes.", "More.", "Fewer.", unit="apples"))
NOTHING = ("", "z", "ab", 3.5, True, float("nan"), [1], {"a": 1}, b"a", object(), "x" * 10_000, -1)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SVAE_PROGRESS", str(tmp_path / "kept" / "progress.json"))
    monkeypatch.setattr(
        questions, "registry", lambda: {"99": (CHOOSE, GUESS), "99-quiz": (CHOOSE,)}
    )
    monkeypatch.setattr(asking, "registry", questions.registry)
    return tmp_path / "kept" / "progress.json"


def test_every_question_of_the_course_can_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    every = [question for asked in questions.registry().values() for question in asked]
    assert every
    for question in every:
        answers = question.answers
        if isinstance(answers, Number):
            assert answers.low <= answers.high
            assert question.judge((answers.low + answers.high) / 2)[0]
        else:
            rights = [question.judge(questions.LETTERS[i])[0] for i in range(len(answers))]
            assert sum(rights) == 1
            assert len({choice.text for choice in answers}) == len(answers) >= 2
            assert all(choice.feedback for choice in answers)
            assert not any("$" in c.text + c.feedback for c in answers), question.name
        assert "$" not in question.text, question.name


def test_always_the_same_letter_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the questions with three choices, no letter answers half."""
    monkeypatch.undo()
    every = [question.answers for asked in questions.registry().values() for question in asked]
    threes = [choices for choices in every if isinstance(choices, tuple) and len(choices) == 3]
    for at in range(3):
        assert sum(choices[at].right for choices in threes) < len(threes) / 2


@pytest.mark.parametrize("answer", ["b", "B", " (b) ", "b.", "blue", "BLUE"])
def test_a_choice_is_read_as_people_write_it(answer: str, file: Path) -> None:
    assert "✓" in repr(sv.course.predict("99-choose", answer))
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert kept["predicted"]["99-choose"] == {"answer": "b", "right": True}


@pytest.mark.parametrize(("answer", "said"), [(3, "Yes"), ("4", "Yes"), (2, "More"), (9, "Fewer")])
def test_a_number_is_judged_by_where_it_lies(answer: Any, said: str) -> None:
    assert said in repr(sv.course.predict("99-guess", answer))


@pytest.mark.parametrize("answer", NOTHING, ids=[str(i) for i in range(len(NOTHING))])
def test_anything_else_is_told_what_is_wanted(answer: Any, file: Path) -> None:
    assert "letters a or b" in repr(sv.course.predict("99-choose", answer))
    assert not file.exists()


@pytest.mark.parametrize("answer", ["many", True, float("inf"), 10**400, [3]])
def test_what_is_no_number_is_told_so(answer: Any, file: Path) -> None:
    assert "apples" in repr(sv.course.predict("99-guess", answer))
    assert not file.exists()


def test_nothing_is_given_away_before_the_learner_commits() -> None:
    asked = sv.course.predict("99-choose")
    assert "Yes." not in repr(asked)
    widget = asked._widgets()
    _, choice, button, said = widget.children
    assert said.value == ""
    button.click()
    assert "letters" in said.value and not choice.disabled
    choice.value = "a"
    button.click()
    assert "No, blue." in said.value and choice.disabled


def test_a_stored_page_unfolds_each_answer() -> None:
    shown = sv.course.predict("99-choose")._repr_mimebundle_()
    assert shown["text/html"].count("<details>") == 2
    assert "application/vnd.jupyter.widget-view+json" in shown


def test_an_answer_given_before_is_remembered() -> None:
    sv.course.predict("99-choose", "a")
    assert "You said a" in repr(sv.course.predict("99-choose"))


def test_a_quiz_is_answered_in_order() -> None:
    assert "Which?" in repr(sv.course.quiz("99"))
    assert "✓" in repr(sv.course.quiz("99", "b"))
    assert "no quiz" in repr(sv.course.quiz("nowhere"))


def test_an_unknown_question_is_refused() -> None:
    with pytest.raises(sv.InputError, match="no question"):
        sv.course.predict("99-other")


def test_progress_counts_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "questions", questions.registry)
    sv.course.predict("99-choose", "a")
    row = next(row for row in sv.course.progress().rows if row[0] == "99")
    assert row == ("99", 0, 0, 1, 2, 0, 1)
    assert "1 of 2" in repr(sv.course.progress())
    assert "1 of 2" in sv.course.progress()._repr_html_()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"predicted": 3}', "\x00"])
def test_a_damaged_file_is_begun_again(text: str, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    sv.course.predict("99-choose", "b")
    assert "99-choose" in json.loads(file.read_text(encoding="utf-8"))["predicted"]


def test_a_file_that_cannot_be_written_stops_no_lesson(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("SVAE_PROGRESS", str(tmp_path / "taken" / "progress.json"))
    with pytest.warns(UserWarning, match="progress"):
        assert "✓" in repr(sv.course.predict("99-choose", "b"))


def test_progress_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("SVAE_PROGRESS", "off")
    sv.course.predict("99-choose", "b")
    assert sv.course.progress().file is None and not file.exists()


def test_a_solved_exercise_is_recorded_and_a_wrong_one_is_not(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sv.exercises.check("reparameterise", lambda mu, log_var, noise: mu)
    assert not file.exists()
    reference = sv.exercises.registry()["reparameterise"].reference
    right = lambda mu, log_var, noise: reference(mu, log_var, noise)  # noqa: E731
    sv.exercises.check("reparameterise", right)
    assert json.loads(file.read_text(encoding="utf-8"))["solved"] == {"reparameterise": True}
    rows = {number: done for number, done, *_ in sv.course.progress().rows}
    assert rows["01"] == 1
