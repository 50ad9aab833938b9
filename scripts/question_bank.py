"""docs/question_bank.md, read question by question, and its Markdown as HTML.

    python scripts/question_bank.py            write its polls and its table of kinds anew
    python scripts/question_bank.py --check    fail where they are out of date

A poll of the bank is a question of the notebooks, named behind its stars: change its text in
svae_lib/course/questions, then run this. All other questions are written in the bank itself.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from generated_page import write_or_check
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from svae_lib.course.questions import LETTERS, Choice, Number, find
from svae_lib.support.checks import InputError

BANK = Path(__file__).resolve().parents[1] / "docs" / "question_bank.md"
KINDS = ("poll", "derivation", "experiment", "trap")
_QUESTION = re.compile(
    r'<a id="q\d+-\d+"></a>\n\n'
    r"(?P<head>\*\*(\d+)\.(\d+) · (\w+) · (★{1,3})(?: · ([\w-]+))?\*\*) (?P<question>.+?)\n\n"
    r"<details><summary>Answer</summary>\n\n(?P<answer>.+?)\n\n</details>\n",
    re.DOTALL,
)


class BankError(Exception):
    """The question bank does not hold what is asked of it; the message says what."""


@dataclass(frozen=True)
class Item:
    """A question of the bank; texts are Markdown."""

    notebook: int
    number: int
    kind: str
    """One of KINDS."""
    stars: int
    """Difficulty, from 1 to 3."""
    source: str
    """Of a poll: the name of the notebooks' question that it is; "" of any other."""
    question: str
    """Without the choices of a poll."""
    choices: tuple[Choice, ...]
    """Of a poll; () of any other."""
    answer: str
    """What is said to it; of a poll, to each of its choices."""

    @property
    def name(self) -> str:
        """Its number in the bank, such as "4.8"."""
        return f"{self.notebook}.{self.number}"

    @property
    def right(self) -> int | None:
        """Place of the right choice; None where there are none."""
        return next((i for i, choice in enumerate(self.choices) if choice.right), None)

    @property
    def lettered(self) -> str:
        """The choices of a poll as a list."""
        lettered = zip(LETTERS, self.choices, strict=False)
        return "\n".join(f"- ({letter}) {choice.text}" for letter, choice in lettered)


def read_bank(path: Path = BANK) -> dict[str, Item]:
    """The questions by their numbers, in the bank's order.

    Raises:
        BankError: there are none, or a poll is no question of the notebooks.
    """
    text = path.read_text(encoding="utf-8")
    items = [_item(found) for found in _QUESTION.finditer(text)]
    if not items or len(items) != text.count("<details>"):
        raise BankError(f"{path} has {text.count('<details>')} answers, {len(items)} in order.")
    return {item.name: item for item in items}


def _item(found: re.Match[str]) -> Item:
    _, notebook, number, kind, stars, source = found.groups()[:6]
    question, answer, choices = found["question"], found["answer"], ()
    if kind == "poll":
        try:
            asked = find(source)
        except InputError as error:
            raise BankError(f"{notebook}.{number}: {error}") from error
        if isinstance(asked.answers, Number):
            raise BankError(f"{notebook}.{number}: {source} has no choices.")
        question = _plain(asked.text)
        choices = tuple(Choice(_plain(c.text), _plain(c.feedback), c.right) for c in asked.answers)
        answer = "\n".join(
            f"- ({letter}) {'✓' if choice.right else '✗'} {choice.feedback}"
            for letter, choice in zip(LETTERS, choices, strict=False)
        )
    return Item(
        int(notebook), int(number), kind, len(stars), source or "", question, choices, answer
    )


def _plain(text: str) -> str:
    """Markdown that reads as this text."""
    return re.sub(r"([\\`*_$<\[\]])", r"\\\1", text)


def updated(text: str) -> str:
    """The bank's page with its polls as the notebooks ask them, and the table of kinds.

    Raises:
        BankError: a poll is no question of the notebooks.
    """
    numbers: dict[str, list[str]] = {kind: [] for kind in KINDS}

    def written(found: re.Match[str]) -> str:
        item = _item(found)
        numbers[item.kind].append(f"[{item.name}](#q{item.notebook}-{item.number})")
        if item.kind != "poll":
            return found[0]
        begin = found[0].partition(found["head"])[0] + found["head"]
        return (
            f"{begin} {item.question}\n\n{item.lettered}\n\n"
            f"<details><summary>Answer</summary>\n\n{item.answer}\n\n</details>\n"
        )

    text = _QUESTION.sub(written, text)
    for kind, listed in numbers.items():
        row = f"| {kind} | {', '.join(listed)} |"
        text = re.sub(rf"^\| {kind} \| .* \|$", row, text, flags=re.MULTILINE)
    return text


def chapters(folder: Path = BANK.parents[1] / "notebooks" / "source") -> dict[int, str]:
    """Titles of the notebooks by their numbers."""
    found = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.py")):
        heading = re.search(r"^# # \d+ · (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        found[int(path.stem[:2])] = heading[1] if heading else path.stem
    return found


def without_links(markdown: str) -> str:
    """Markdown with the words of its links alone, whose targets are not beside what is made."""
    return re.sub(r"(?<![!\\])\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


def to_html(markdown: str) -> str:
    r"""Markdown as HTML in one line, without links; mathematics as \(...\), for MathJax."""
    rendered = str(_renderer().render(without_links(markdown))).strip()
    if rendered.count("<p>") == 1 and rendered.startswith("<p>"):
        rendered = rendered.removeprefix("<p>").removesuffix("</p>")
    return " ".join(rendered.split())


def _renderer() -> MarkdownIt:
    def mathematics(content: str, options: dict[str, bool]) -> str:
        begin, end = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
        return f"{begin}{html.escape(content, quote=False)}{end}"

    # HTML in the text stays text.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.use(dollarmath_plugin, renderer=mathematics, allow_labels=False)


if __name__ == "__main__":
    write_or_check(BANK, updated(BANK.read_text(encoding="utf-8")), __doc__)
