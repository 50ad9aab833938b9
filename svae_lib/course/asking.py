"""Questions in a notebook: learners commit to an answer, and then see what it says to them."""

from __future__ import annotations

import textwrap
from html import escape
from typing import Any

from .questions import LETTERS, Number, Question, find, registry
from .record import Kind, note, recorded


class Asked:
    """A question as a notebook shows it: buttons where there are widgets, else text to unfold."""

    def __init__(self, question: Question, kind: Kind, call: str) -> None:
        self.question, self.kind, self.call = question, kind, call
        self.given: str | float | None = None
        self._box: Any = None

    def answer(self, given: Any) -> str:
        """Commit to an answer, and return what there is to say to it."""
        read = self.question.read(given)
        if read is None:
            return f"○ That is no answer to this question: give {self.question.wanted()}."
        self.given = read
        right, feedback = self.question.judge(read)
        note(self.kind, self.question.name, {"answer": read, "right": right})
        begin = "✓ As you expected." if right else "✗ Not so."
        return f"{begin} {feedback}" if right else f"{begin} {feedback} ({self._right()})"

    def _right(self) -> str:
        return f"Right: {self.question.solution}."

    # ------------------------------------------------------------------ how it looks

    def _options(self) -> list[tuple[str, str]]:
        choices = self.question.answers
        assert not isinstance(choices, Number)
        return [(f"({LETTERS[i]}) {choice.text}", LETTERS[i]) for i, choice in enumerate(choices)]

    def __repr__(self) -> str:
        lines = textwrap.wrap(self.question.text, 96)
        if not isinstance(self.question.answers, Number):
            lines += [f"  {text}" for text, _ in self._options()]
        lines.append(f"To answer: {self.call}, with {self.question.wanted()} for the dots.")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Each answer with its sentence behind it; no script, so a stored page shows it too."""
        question = self.question
        parts = [f"<p><strong>{escape(question.text)}</strong></p>"]
        if isinstance(question.answers, Number):
            said = f"{question.solution}. {question.answers.right}"
            parts.append(f"<details><summary>The answer</summary><p>{escape(said)}</p></details>")
        else:
            for (text, _), choice in zip(self._options(), question.answers, strict=True):
                mark = "✓" if choice.right else "✗"
                said = f"<p>{mark} {escape(choice.feedback)}</p>"
                parts.append(f"<details><summary>{escape(text)}</summary>{said}</details>")
        return f'<div class="svae-question">{"".join(parts)}</div>'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if (box := self._widgets()) is not None:
            view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
            bundle["application/vnd.jupyter.widget-view+json"] = view
        return bundle

    def _widgets(self) -> Any:
        """Buttons and a place for what is said; None without ipywidgets."""
        if self._box is not None:
            return self._box
        try:
            import ipywidgets as ipy
        except ImportError:
            return None
        question = self.question
        wide = ipy.Layout(width="auto")
        if isinstance(question.answers, Number):
            given = ipy.Text(placeholder=question.wanted(), description="Your guess")
        else:
            given = ipy.RadioButtons(options=self._options(), value=None, layout=wide)
        commit = ipy.Button(description="Commit", tooltip="Commit to this answer, then see more")
        said = ipy.HTML()

        def committed(_: Any) -> None:
            told = escape(self.answer(given.value))
            said.value = f'<p role="status">{told}</p>'
            if self.given is not None:
                given.disabled = commit.disabled = True

        commit.on_click(committed)
        asked = ipy.HTML(f"<p><strong>{escape(question.text)}</strong></p>")
        self._box = ipy.VBox([asked, given, commit, said])
        return self._box


class Answered:
    """What there is to say to an answer, as a cell's result."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return textwrap.fill(self.text, 96, subsequent_indent="  ")

    def _repr_html_(self) -> str:
        return f'<p role="status">{escape(self.text)}</p>'


def predict(name: str, answer: Any = None) -> Asked | Answered:
    """Ask for a prediction before its experiment.

    ``sv.course.predict("01-random-codes")`` shows buttons. Where none appear, the answer is given
    in the call, as in ``sv.course.predict("01-random-codes", "b")``. Then the right one is shown.

    Args:
        name: of the question, as the notebook has it.
        answer: a letter, a choice in its words, or a number. Anything else is told what is wanted.

    Raises:
        InputError: there is no question of that name.
    """
    asked = Asked(find(name), "predicted", f'sv.course.predict("{name}", ...)')
    if answer is not None:
        return Answered(asked.answer(answer))
    before = recorded()["predicted"].get(name)
    if isinstance(before, dict) and asked.question.read(before.get("answer")) is not None:
        return Answered(f"You said {before['answer']}. {asked.answer(before['answer'])}")
    return asked


class Quiz:
    """The questions at the end of a notebook, one under the other."""

    def __init__(self, questions: tuple[Question, ...], notebook: str) -> None:
        call = f'sv.course.quiz("{notebook}", ..., ...)'
        self.asked = [Asked(question, "answered", call) for question in questions]
        self._box: Any = None

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.asked))

    def _repr_html_(self) -> str:
        return "".join(asked._repr_html_() for asked in self.asked)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self), "text/html": self._repr_html_()}
        boxes = [asked._widgets() for asked in self.asked]
        if boxes and all(box is not None for box in boxes):
            import ipywidgets as ipy

            self._box = self._box or ipy.VBox(boxes)
            view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
            bundle["application/vnd.jupyter.widget-view+json"] = view
        return bundle


def quiz(notebook: str, *answers: Any) -> Quiz | Answered:
    """The quiz of a notebook; answers may be given in the call, in the order of the questions.

    Args:
        notebook: its number or name, such as "01" or "01_vanilla_vae".
        answers: letters or numbers; with fewer than there are questions, the first are answered.
    """
    key = f"{str(notebook)[:2]}-quiz"
    questions = registry().get(key)
    if not questions:
        known = ", ".join(sorted(name[:2] for name in registry() if name.endswith("-quiz")))
        return Answered(f"○ There is no quiz for {notebook!r}; there is one for {known}.")
    shown = Quiz(questions, str(notebook)[:2])
    if not answers:
        return shown
    pairs = zip(shown.asked, answers, strict=False)
    return Answered("\n".join(f"{i}. {asked.answer(a)}" for i, (asked, a) in enumerate(pairs, 1)))
