"""docs/question_bank.md, read question by question, and its Markdown as HTML."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

BANK = Path(__file__).resolve().parents[1] / "docs" / "question_bank.md"
_QUESTION = re.compile(
    r'<a id="q(\d+-\d+)"></a>\n\n'
    r"\*\*(\d+)\.(\d+) · (\w+) · (★{1,3})\*\* (.+)\n\n"
    r"<details><summary>Answer</summary>\n\n(.+)\n\n</details>\n"
)


class BankError(Exception):
    """The question bank does not hold what is asked of it; the message says what."""


@dataclass(frozen=True)
class Item:
    """A question of the bank; texts are Markdown."""

    notebook: int
    number: int
    kind: str
    """poll, derivation, experiment or trap."""
    stars: int
    """Difficulty, from 1 to 3."""
    question: str
    """Without the choices of a poll."""
    choices: tuple[str, ...]
    """Of a poll; () of any other."""
    right: int | None
    """Place of the right choice."""
    answer: str
    """What is said to it, without the letter of the choice."""

    @property
    def name(self) -> str:
        """Its number in the bank, such as "4.8"."""
        return f"{self.notebook}.{self.number}"


def read_bank(path: Path = BANK) -> dict[str, Item]:
    """The questions by their numbers, in the bank's order.

    Raises:
        BankError: there are none, or a poll has no right choice.
    """
    text = path.read_text(encoding="utf-8")
    items = [_item(*found) for found in _QUESTION.findall(text)]
    if not items or len(items) != text.count("<details>"):
        raise BankError(f"{path} has {text.count('<details>')} answers, {len(items)} in order.")
    return {item.name: item for item in items}


def _item(
    _: str, notebook: str, number: str, kind: str, stars: str, question: str, answer: str
) -> Item:
    choices: tuple[str, ...] = ()
    right = None
    if kind == "poll":
        question, *parts = re.split(r" \(([a-h])\) ", question)
        letters, choices = parts[::2], tuple(parts[1::2])
        named = re.match(r"\((\w)\)[.,] ", answer)
        if not named or named[1] not in letters:
            raise BankError(f"{notebook}.{number}: the answer names none of the choices.")
        right = letters.index(named[1])
        answer = answer[named.end() :]
        answer = answer[0].upper() + answer[1:]
    return Item(int(notebook), int(number), kind, len(stars), question, choices, right, answer)


def chapters(folder: Path = BANK.parents[1] / "notebooks" / "source") -> dict[int, str]:
    """Titles of the notebooks by their numbers."""
    found = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.py")):
        heading = re.search(r"^# # \d+ · (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        found[int(path.stem[:2])] = heading[1] if heading else path.stem
    return found


def without_links(markdown: str) -> str:
    """Markdown with the words of its links alone, whose targets are not beside what is made."""
    return re.sub(r"(?<!!)\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


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
