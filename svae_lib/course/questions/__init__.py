"""What notebooks ask before they show: predictions and quizzes, with a sentence for each answer.

``ch01.py`` holds those of notebook 01; a new file of such a name is found by itself. Mathematics
is written in Unicode (σ, x₁), since not every place that shows a question typesets TeX.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from ...support.checks import InputError

LETTERS = "abcdefgh"


@dataclass(frozen=True)
class Choice:
    """One answer to choose."""

    text: str
    feedback: str
    """What it says to those who chose it: why it is right, or what speaks against it."""
    right: bool = False


@dataclass(frozen=True)
class Number:
    """A number to guess, and what counts as near enough."""

    low: float
    high: float
    """Guesses from ``low`` to ``high`` are right."""
    right: str
    """What it says to those who came near enough."""
    below: str
    above: str
    unit: str = ""


@dataclass(frozen=True)
class Question:
    """A question with one right choice, or with a number as its answer."""

    name: str
    """Unique in the course, such as "01-random-codes"."""
    text: str
    answers: tuple[Choice, ...] | Number

    def wanted(self) -> str:
        """What an answer may be, for somebody who gave something else."""
        if isinstance(self.answers, Number):
            return f"a number{f' ({self.answers.unit})' if self.answers.unit else ''}"
        letters = ", ".join(LETTERS[: len(self.answers) - 1])
        return f"one of the letters {letters} or {LETTERS[len(self.answers) - 1]}"

    def read(self, answer: Any) -> str | float | None:
        """A letter, or a number, from whatever was given; None where it is no answer."""
        if isinstance(self.answers, Number):
            try:
                number = float(answer)
            except (TypeError, ValueError, OverflowError):
                return None
            return number if math.isfinite(number) and not isinstance(answer, bool) else None
        known = LETTERS[: len(self.answers)]
        if not isinstance(answer, str):
            return None
        letter = answer.strip().strip("().").lower()
        if len(letter) == 1 and letter in known:
            return letter
        spelt = [c.text.strip().lower() == answer.strip().lower() for c in self.answers]
        return known[spelt.index(True)] if any(spelt) else None

    def judge(self, answer: str | float) -> tuple[bool, str]:
        """Whether an answer from :meth:`read` is right, and what to say to it."""
        if isinstance(self.answers, Number):
            number, given = self.answers, float(answer)
            if given < number.low:
                return False, number.below
            return (False, number.above) if given > number.high else (True, number.right)
        choice = self.answers[LETTERS.index(str(answer))]
        return choice.right, choice.feedback

    @property
    def solution(self) -> str:
        """The right answer in words."""
        if isinstance(self.answers, Number):
            low, high = f"{self.answers.low:g}", f"{self.answers.high:g}"
            between = low if low == high else f"between {low} and {high}"
            return f"{between} {self.answers.unit}".strip()
        at = next(i for i, choice in enumerate(self.answers) if choice.right)
        return f"({LETTERS[at]}) {self.answers[at].text}"


@cache
def registry() -> dict[str, tuple[Question, ...]]:
    """Questions by kind and notebook: "01" has the predictions, "01-quiz" the quiz of notebook 01.

    Raises:
        RuntimeError: two questions have one name, or one has no or several right choices.
    """
    found: dict[str, tuple[Question, ...]] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        if number := re.fullmatch(r"ch(\d\d)", module):
            chapter = importlib.import_module(f"{__name__}.{module}")
            found[number[1]] = chapter.PREDICTIONS
            found[f"{number[1]}-quiz"] = chapter.QUIZ
    every = [question for questions in found.values() for question in questions]
    if len({question.name for question in every}) < len(every):
        raise RuntimeError("two questions have the same name")
    for question in every:
        choices = question.answers
        if not isinstance(choices, Number) and sum(c.right for c in choices) != 1:
            raise RuntimeError(f"{question.name} needs exactly one right choice")
    return found


def find(name: str) -> Question:
    """The question of that name.

    Raises:
        InputError: there is none.
    """
    for questions in registry().values():
        for question in questions:
            if question.name == name:
                return question
    raise InputError(f"there is no question {name!r}: copy the name from the notebook.")
