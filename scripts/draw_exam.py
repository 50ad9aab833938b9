"""Draw an exam of 60 minutes and 40 points from the question bank, with its key.

    python scripts/draw_exam.py --seed 7 --out exam_7

The folder gets exam.html and key.html, to be printed from a browser, without network. Questions
come from different notebooks as far as there are enough; choices of polls are shuffled, and the
key has the letters of this exam. --without leaves notebooks out, such as --without 5 9 10.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import build_slides
import jinja2
from question_bank import BankError, Item, read_bank, to_html

from svae_lib.course.questions import LETTERS
from svae_lib.support.files import check_writable, write_text


@dataclass(frozen=True)
class Kind:
    """Questions of one kind in an exam."""

    count: int
    kind: str
    stars: int | None
    """Difficulty; None for any."""
    points: int
    how: str
    """How points are given."""


KINDS = (
    Kind(4, "poll", None, 3, "1 for the letter, 2 for the reason"),
    Kind(2, "trap", None, 4, "2 for what is wrong, 2 for why"),
    Kind(1, "derivation", 2, 8, ""),
    Kind(1, "derivation", 3, 12, ""),
)
MATHJAX = [asset for asset in build_slides.ASSETS if asset[2].startswith("mathjax/")]


@dataclass(frozen=True)
class Drawn:
    """A question of an exam, its choices in the exam's order."""

    item: Item
    kind: Kind
    order: tuple[int, ...]

    @property
    def letter(self) -> str:
        """Of the right choice in this exam; "" where there are no choices."""
        return "" if self.item.right is None else LETTERS[self.order.index(self.item.right)]


def draw(seed: int, without: Sequence[int] = ()) -> list[Drawn]:
    """The questions of an exam, easiest kinds first.

    Raises:
        BankError: the notebooks that are left have too few questions, or one to be left out does
            not exist.
    """
    chance = random.Random(seed)
    bank = list(read_bank().values())
    if unknown := sorted(set(without) - {item.notebook for item in bank}):
        raise BankError(f"there is no notebook {', '.join(map(str, unknown))} to leave out.")
    bank = [item for item in bank if item.notebook not in without]
    drawn: list[Drawn] = []
    for kind in sorted(KINDS, key=lambda k: -(k.stars or 0)):  # the rarest first
        for _ in range(kind.count):
            left = [
                item
                for item in bank
                if item.kind == kind.kind
                and kind.stars in (None, item.stars)
                and item not in [d.item for d in drawn]
            ]
            if not left:
                stars = f" {'★' * kind.stars}" if kind.stars else ""
                raise BankError(f"too few questions of the kind {kind.kind}{stars} are left.")
            used = [d.item.notebook for d in drawn]
            fewest = min(used.count(item.notebook) for item in left)
            item = chance.choice([i for i in left if used.count(i.notebook) == fewest])
            order = list(range(len(item.choices)))
            chance.shuffle(order)
            drawn.append(Drawn(item, kind, tuple(order)))
    return sorted(drawn, key=lambda d: KINDS.index(d.kind))


_PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
    """\
{%- macro listed(drawn, what) -%}
<ol class="choices">
{% for place in drawn.order %}
<li>{{ to_html(drawn.item.choices[place][what]) | safe }}</li>
{% endfor %}
</ol>
{%- endmacro -%}
<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 17px/1.5 serif; max-width: 44em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; } li.question { margin-bottom: 1.5em; break-inside: avoid; }
ol.choices { list-style: lower-alpha; }
.space { height: {{ 0 if key else 9 }}em; } .points { float: right; margin-left: 1em; }
</style>
<script>window.MathJax = {options: {enableMenu: false}};</script>
<script src="mathjax/tex-svg.js" defer></script>
</head>
<body>
<h1>{{ title }}</h1>
{% if key %}
<p>For seed {{ seed }}. The questions and these answers are public: change the numbers.</p>
{% else %}
<p>Name:</p>
<p>60 minutes; {{ total }} points, {{ total // 2 }} pass. Give a reason for each answer.</p>
{% endif %}
<ol>
{% for drawn in questions %}
<li class="question"><span class="points">{{ drawn.kind.points }} points</span>
{{ to_html(drawn.item.question) | safe }}
{% if drawn.order and not key %}
{{ listed(drawn, "text") }}
{% endif %}
{% if key %}
<p><strong>{{ drawn.item.name }}{% if drawn.letter %}, ({{ drawn.letter }}){% endif %}</strong>
{%- if drawn.kind.how %} ({{ drawn.kind.how }}){% endif %}{% if not drawn.order %}:
{{ to_html(drawn.item.answer) | safe }}{% endif %}</p>
{% if drawn.order %}
{{ listed(drawn, "feedback") }}
{% endif %}
{% endif %}
<div class="space"></div></li>
{% endfor %}
</ol>
</body>
</html>
"""
)


def page(drawn: Sequence[Drawn], seed: int, *, key: bool) -> str:
    """An exam as a page, or its key."""
    title = "The Split-VAE course: " + ("key to the exam" if key else "exam")
    total = sum(d.kind.points for d in drawn)
    return _PAGE.render(
        title=title, key=key, seed=seed, total=total, questions=drawn, to_html=to_html
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, required=True, help="the same seed, the same exam")
    parser.add_argument("--out", type=Path, help="folder; default: exam_SEED")
    parser.add_argument("--without", type=int, nargs="*", default=[], help="numbers of notebooks")
    parser.add_argument("--overwrite", action="store_true")
    chosen = parser.parse_args(arguments)
    out = chosen.out or Path(f"exam_{chosen.seed}")
    try:
        drawn = draw(chosen.seed, chosen.without)
        pages = {"exam.html": False, "key.html": True}
        for name in pages:
            check_writable(out / name, overwrite=chosen.overwrite)
        build_slides.copy_assets(out, MATHJAX)
        for name, key in pages.items():
            text = page(drawn, chosen.seed, key=key)
            write_text(out / name, text, overwrite=chosen.overwrite)
    except (OSError, BankError, build_slides.SlidesError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {out / 'exam.html'} and {out / 'key.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
