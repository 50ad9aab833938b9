"""Write predictions, quizzes and the question bank for Moodle, in its GIFT format.

    python scripts/export_questions.py --out questions.gift

In Moodle: Question bank > Import > GIFT format. Predictions and quizzes become multiple choice,
and numbers to guess numerical questions with their range. The bank's polls are among them, under
the names that the bank gives; its other questions become essays with the answer as feedback.
Mathematics needs Moodle's MathJax filter.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from question_bank import BankError, Item, chapters, read_bank, to_html

from svae_lib.course.questions import Number, Question, registry
from svae_lib.support.files import write_text


def gift() -> str:
    """All questions of the course, by notebook."""
    blocks: list[str] = []
    essays = [item for item in read_bank().values() if not item.source]
    asked = registry()
    for number, title in chapters().items():
        title = title.partition(":")[0]
        parts = (
            ("bank", [_of_bank(item) for item in essays if item.notebook == number]),
            ("predictions", [_asked(q) for q in asked.get(f"{number:02d}", ())]),
            ("quiz", [_asked(q) for q in asked.get(f"{number:02d}-quiz", ())]),
        )
        for part, questions in parts:
            if questions:
                category = (
                    f"$course$/top/Split VAE/{number} {escape(title.replace('/', '//'))}/{part}"
                )
                blocks += [f"$CATEGORY: {category}", *questions]
    return "\n\n".join(blocks) + "\n"


def _of_bank(item: Item) -> str:
    stars = "★" * item.stars
    head = _head(item.name, f"{to_html(item.question)} <small>({item.kind}, {stars})</small>")
    return f"{head}{{\n####{escape(to_html(item.answer))}\n}}"


def _asked(question: Question) -> str:
    head = _head(question.name, html.escape(question.text, quote=False))
    answers = question.answers
    if isinstance(answers, Number):
        unit = f" <small>({html.escape(answers.unit)})</small>" if answers.unit else ""
        said = escape(html.escape(answers.right, quote=False))
        head = _head(question.name, html.escape(question.text, quote=False) + unit)
        return f"{head}{{#{answers.low!r}..{answers.high!r}\n####{said}\n}}"
    choices = "\n".join(
        f"{'=' if choice.right else '~'}{escape(html.escape(choice.text, quote=False))}"
        f" #{escape(html.escape(choice.feedback, quote=False))}"
        for choice in answers
    )
    return f"{head}{{\n{choices}\n}}"


def _head(name: str, text: str) -> str:
    return f"::{escape(name)}::[html]{escape(text)}"


def escape(text: str) -> str:
    r"""Text in which GIFT takes no character for its own; \n would be a line break."""
    return re.sub(r"([\\~=#{}:])", r"\\\1", " ".join(text.split()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("questions.gift"))
    parser.add_argument("--overwrite", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        write_text(chosen.out, gift(), overwrite=chosen.overwrite)
    except (OSError, BankError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
