"""Make reveal.js decks from the solved notebooks: slides/NN_name.html and slides/index.html.

    python scripts/build_slides.py              all decks
    python scripts/build_slides.py 01 03        only these
    python scripts/build_slides.py --out DIR    elsewhere

The decks need no network: reveal.js, its fonts and MathJax are copied beside them, from packages
of the extra "slides" (pip install ".[slides]"). Where a slide begins is decided by the notebooks'
slide tags (scripts/build_notebooks.py); what does not fit on one slide goes on to the next. Of an
exercise the stub is shown, never the solution; of longer code only what it prints or draws.
"""

from __future__ import annotations

import argparse
import copy
import html
import importlib.metadata
import itertools
import re
import shutil
import struct
import sys
import textwrap
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import FileSystemLoader
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
QUESTION = "**What do you expect?**"

# Pixels of a slide of 1280 x 720, which reveal.js scales to the screen.
USABLE = 640
"""Height that the parts of a slide may add up to, by the estimates below."""
TEXT_LINE, TEXT_COLUMNS = 37, 92
CODE_LINE, CODE_LONGEST = 23, 14
CODE_COLUMNS, WIDE_COLUMNS = 104, 120
"""Characters in a line of code or output, and of a wide table, whose letters are smaller."""
CODE_BESIDE_PICTURE = 5
"""Lines of code that are shown with a picture; longer code stays in the notebook."""
ENLARGE, PICTURE_WIDTH, PICTURE_HEIGHT = 1.4, 1190, 560
"""Pictures are made for a page; on a slide they may be larger."""
SHRINK = 0.75
"""... or smaller, to stay with what goes before."""
CROWDED = 1.2
"""How much too high a slide may become where its beginning would stand alone; it is then shrunk."""

# Distribution, file inside it, and where it goes in the folder of the decks.
ASSETS = (
    ("sphinx-revealjs", "revealjs/dist/reveal.js", "reveal/reveal.js"),
    ("sphinx-revealjs", "revealjs/dist/reveal.css", "reveal/reveal.css"),
    ("sphinx-revealjs", "revealjs/dist/reset.css", "reveal/reset.css"),
    ("sphinx-revealjs", "revealjs/LICENSE", "reveal/LICENSE"),
    ("django-static-mathjax", "es5/tex-svg.js", "mathjax/tex-svg.js"),
    ("django-static-mathjax", "mathjax/LICENSE", "mathjax/LICENSE"),
)
FONT = "revealjs/dist/theme/fonts/source-sans-pro/"
FACES = ("regular", "italic", "semibold", "semibolditalic")
ASSETS += tuple(
    ("sphinx-revealjs", f"{FONT}source-sans-pro-{face}.woff", f"reveal/source-sans-pro-{face}.woff")
    for face in FACES
)
ASSETS += (("sphinx-revealjs", f"{FONT}LICENSE", "reveal/LICENSE-source-sans-pro"),)


class SlidesError(Exception):
    """The decks cannot be made; the message says why."""


# ---------------------------------------------------------------- parts of a slide


@dataclass
class Part:
    """Something that is never torn apart: a paragraph, an equation, a picture, a piece of code."""

    cell: NotebookNode
    height: int
    begins: str | None = None
    """"slide" or "subslide" where a new one begins here."""
    ends: bool = False
    """The next part must not be seen with this one: it answers the question."""
    company: int = 0
    """Height of what has to stand on the same slide: the output of code, the text of a heading."""
    least: int | None = None
    """Height to which a picture may be shrunk."""


def parts_of(solved: NotebookNode, learners: NotebookNode) -> list[Part]:
    """The parts of a notebook, in order; a heading keeps company with what it heads.

    Args:
        solved: the executed notebook.
        learners: the same notebook as learners see it, cell by cell.
    """
    parts: list[Part] = []
    for cell, stub in zip(solved.cells, learners.cells, strict=True):
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind in ("skip", "notes"):
            continue
        if cell.cell_type == "markdown":
            found = list(_markdown_parts(cell.source))
            for above, part in itertools.pairwise(found):  # as builder.slide_type has it at the top
                heading = re.match(r"##+ ", part.cell.source)
                if heading and not above.cell.source.startswith("#"):
                    part.begins = "slide" if len(heading[0]) == 3 else "subslide"
        elif cell.source != stub.source:  # an exercise: what it prints would tell the solution
            found = [_code(stub.source)]
        else:
            found = list(_code_parts(cell))
        if found and kind in ("slide", "subslide"):
            found[0].begins = kind
        parts += found
    for part, following in zip(parts[-2::-1], parts[:0:-1], strict=True):  # from the end
        if part.cell.cell_type == "markdown" and part.cell.source.startswith("#"):
            part.company = (following.least or following.height) + following.company
    return parts


def belong_together(solved: NotebookNode, learners: NotebookNode) -> bool:
    """Whether two versions of a notebook have the same cells."""
    return [c.id for c in solved.cells] == [c.id for c in learners.cells]


def _markdown_parts(text: str) -> Iterator[Part]:
    """Headings and paragraphs; an equation stays with what goes before."""
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", _without_page_furniture(text).strip()):
        if blocks and block.startswith("$$"):
            blocks[-1] += f"\n\n{block}"
        elif block:
            blocks.append(block)
    for block in blocks:
        cell = nbformat.v4.new_markdown_cell(block)
        question = QUESTION in block
        if question:
            cell.metadata["tags"] = ["question"]
        yield Part(cell, _text_height(block), ends=question)


def _without_page_furniture(text: str) -> str:
    """Drop the links between versions and decks' dead links; keep the words of the others."""
    text = re.sub(r"^.*\[The solved version is here\].*$\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"^.*\[the exercises are here\].*$\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\*\*Time\.\*\*.*$\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"\]\((?:\.\./)*(\d\d_\w+)\.ipynb\)", r"](\1.html)", text)
    return re.sub(r"(?<!!)\[([^\]]*)\]\(\.\.[^)]*\)", r"\1", text)


def _text_height(block: str) -> int:
    """Estimated height of a block of Markdown in pixels."""
    height = 0
    for line in _reflowed(block):
        if heading := re.match(r"#+ ", line):
            height += 84 if len(heading[0]) <= 3 else 66
        elif line.startswith("$$"):
            height += 40 + 52 * (line.count(r"\\") + 1 + (line.count(r"\frac") > 2))
        elif line.startswith("|"):
            height += 14 + 28 * max(1, -(-len(_as_read(line)) // TEXT_COLUMNS))
        else:
            height += 8 + TEXT_LINE * -(-len(_as_read(line)) // TEXT_COLUMNS)
    return height + 12


def _reflowed(block: str) -> list[str]:
    """Lines as Markdown understands them: one for a paragraph, an item, an equation, a row."""
    block = re.sub(r"\$\$.*?\$\$", lambda m: m[0].replace("\n", " "), block, flags=re.DOTALL)
    lines: list[str] = []
    for line in block.splitlines():
        starts = re.match(r"#|\||\$\$|\s*(-|\d+\.) ", line) or not line.strip()
        if starts or not lines or re.match(r"#|\||\$\$|$", lines[-1]):
            lines.append(line.strip())
        else:
            lines[-1] += f" {line.strip()}"
    return [line for line in lines if line]


def _as_read(text: str) -> str:
    """Text about as long as what is seen of it: no link targets, no TeX commands."""
    text = re.sub(r"\]\([^)]*\)", "", text)
    return re.sub(r"\\[a-zA-Z]+|[{}$*`\[\]]", "", text)


def _code(source: str) -> Part:
    cell = nbformat.v4.new_code_cell(source)
    return Part(cell, CODE_LINE * len(source.splitlines()) + 26)


def _code_parts(cell: NotebookNode) -> Iterator[Part]:
    """The code where it is short and more than checks, then each output."""
    outputs = list(_output_parts(cell.outputs))
    pictures = [o for o in cell.outputs if _picture(o)]
    longest = CODE_BESIDE_PICTURE if pictures else CODE_LONGEST
    code = _code(cell.source)
    code.company = (outputs[0].least or outputs[0].height) if outputs else 0
    lines = cell.source.splitlines()
    checks = not outputs and all(
        re.match(r"\s*(assert|if learning:|torch\.testing)|$", x) for x in lines
    )
    if not checks and len(lines) <= longest and code.height + code.company <= USABLE:
        yield code
    yield from outputs


def _output_parts(outputs: Sequence[NotebookNode]) -> Iterator[Part]:
    for output in outputs:
        shown = nbformat.v4.new_code_cell("", outputs=[output])
        shown.metadata["tags"] = ["output-only"]
        if size := _picture(output):
            scale = min(ENLARGE, PICTURE_WIDTH / size[0], PICTURE_HEIGHT / size[1])
            least = int(size[1] * min(scale, SHRINK)) + 16
            yield Part(shown, int(size[1] * scale) + 16, least=least)
        elif text := _printed(output):
            if max(map(len, text.splitlines())) > CODE_COLUMNS:
                shown.metadata["tags"].append("wide")
            shown.outputs = [nbformat.v4.new_output("stream", text=text)]
            yield Part(shown, CODE_LINE * len(text.splitlines()) + 16)


def _printed(output: NotebookNode) -> str:
    """The text of an output; long lines are broken, those of tables only beyond a wide table."""
    if output.output_type == "error":
        text = f"{output.ename}: {output.evalue}"
    else:
        text = output.get("text") or str(output.get("data", {}).get("text/plain", ""))
    lines: list[str] = []
    for line in str(text).rstrip().splitlines():
        is_row = "  " in line.strip()
        columns = WIDE_COLUMNS if is_row else CODE_COLUMNS
        keep = is_row and len(line) <= columns
        lines += [line] if keep else textwrap.wrap(line, columns, subsequent_indent="    ") or [""]
    return "\n".join(lines)


def _picture(output: NotebookNode) -> tuple[int, int] | None:
    """Width and height of an output's picture in pixels; None where there is none."""
    page = str(output.get("data", {}).get("text/html", ""))
    found = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    if not found:
        return None
    width, height = struct.unpack(">II", b64decode(found[1][:64])[16:24])  # the header of a PNG
    return width, height


# ---------------------------------------------------------------- slides of parts


def lay_out(parts: Sequence[Part], usable: int = USABLE) -> list[NotebookNode]:
    """Cells with slide types: a slide takes parts as long as they fit."""
    cells: list[NotebookNode] = []
    used, section, closed = 0, "", True
    for part in parts:
        room = usable * CROWDED if used < 0.3 * usable else usable
        full = used + (part.least or part.height) + part.company > room
        begins = part.begins or ("subslide" if closed or full else None)
        cell = copy.deepcopy(part.cell)
        cell.metadata["slideshow"] = {"slide_type": begins or "-"}
        heading = re.match(r"#+ (.*)", part.cell.source) if cell.cell_type == "markdown" else None
        if begins:
            used = 0
            if not heading and section:  # goes on under the heading of the section
                no_list = re.sub(r"^(\d+)\.", r"\1\\.", section)
                running = nbformat.v4.new_markdown_cell(no_list)
                running.metadata = {"slideshow": {"slide_type": begins}, "tags": ["running"]}
                cell.metadata["slideshow"] = {"slide_type": "-"}
                cells.append(running)
                used = 40
        if heading and not heading[1].startswith("Exercise"):
            section = heading[1]
        height = part.height
        if part.least is not None:
            height = max(part.least, min(height, usable - used))
            _resize(cell, height - 16)
        cells.append(cell)
        used, closed = used + height, part.ends
    return cells


def _resize(cell: NotebookNode, height: int) -> None:
    """Give the picture of an output its height on the slide."""
    data = cell.outputs[0].data
    page = re.sub(r' (width|height)="\d+"', "", str(data["text/html"]))
    data["text/html"] = page.replace("<img ", f'<img style="height: {height}px" ', 1)


def deck(solved: NotebookNode, learners: NotebookNode, title: str) -> str:
    """The page of a deck; it refers to the files of :data:`ASSETS` beside it."""
    notebook = nbformat.v4.new_notebook(
        cells=lay_out(parts_of(solved, learners)), metadata=copy.deepcopy(solved.metadata)
    )
    notebook.metadata["title"] = title
    config = Config()
    config.SlidesExporter.exclude_input_prompt = True
    config.SlidesExporter.exclude_output_prompt = True
    config.SlidesExporter.exclude_anchor_links = True
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {"output-only"}
    config.CSSHTMLHeaderPreprocessor.style = "default"
    exporter = SlidesExporter(
        config=config,
        extra_loaders=[FileSystemLoader(Path(__file__).parent)],
        template_file="slides.html.j2",
    )
    page, _ = exporter.from_notebook_node(notebook)
    return str(page)


# ---------------------------------------------------------------- files


def copy_assets(out: Path, assets: Sequence[tuple[str, str, str]] | None = None) -> None:
    """Copy reveal.js and MathJax, or the given ones of :data:`ASSETS`, into a folder.

    Raises:
        SlidesError: a package is not installed, or has changed.
    """
    for distribution, name, target in ASSETS if assets is None else assets:
        try:
            files = importlib.metadata.files(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            raise SlidesError(
                f'{distribution} is not installed: pip install ".[slides]", or make slides.'
            ) from None
        found = [file for file in files if str(file).endswith(name)]
        if not found:
            raise SlidesError(f"{distribution} has no file {name}: install another version of it.")
        (out / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(found[0].locate()), out / target)


def title_of(notebook: NotebookNode) -> str:
    """The notebook's first heading."""
    return str(notebook.cells[0].source.splitlines()[0].lstrip("# "))


def _index(titles: dict[str, str]) -> str:
    entries = "\n".join(
        f'<li><a href="{name}.html">{html.escape(title)}</a></li>' for name, title in titles.items()
    )
    return f"""\
<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The Split-VAE course: slides</title>
<style>
body {{ font: 22px/1.6 sans-serif; color: #222; max-width: 40em; margin: 3em auto; }}
li {{ list-style: none; }} a {{ color: #0a5a9c; }} kbd {{ font-family: monospace; }}
</style>
</head>
<body>
<h1>The Split-VAE course: slides</h1>
<ul>
{entries}
</ul>
<p>Right and left arrow: next and previous slide; <kbd>Esc</kbd>: overview; <kbd>F</kbd>: full
screen; <kbd>B</kbd>: black.</p>
</body>
</html>
"""


def build(names: Sequence[str], out: Path, notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Write decks, their index and what they need; returns the pages of the decks.

    Args:
        names: beginnings of names, such as "01"; none for all.
        out: folder of the decks. Decks of other notebooks that lie there stay, and are listed.
        notebooks: folder with the learners' notebooks and solutions/.

    Raises:
        SlidesError: no such notebook, a package is missing, or versions differ.
    """
    sources = sorted((notebooks / "solutions").glob("[0-9][0-9]_*.ipynb"))
    chosen = [s for s in sources if not names or s.stem.startswith(tuple(names))]
    if not chosen:
        raise SlidesError(f"There is no solved notebook {' or '.join(names)} in {notebooks}.")
    copy_assets(out)
    pages = []
    for path in chosen:
        solved: Any = nbformat.read(path, as_version=4)
        learners: Any = nbformat.read(notebooks / path.name, as_version=4)
        if not belong_together(solved, learners):
            raise SlidesError(f"{path.stem}: its two versions differ: run make notebooks first.")
        page = out / f"{path.stem}.html"
        page.write_text(deck(solved, learners, title_of(solved)), encoding="utf-8")
        pages.append(page)
        print(f"wrote {page.name}")
    titles = {
        s.stem: title_of(nbformat.read(s, as_version=4))
        for s in sources
        if (out / f"{s.stem}.html").exists()
    }
    (out / "index.html").write_text(_index(titles), encoding="utf-8")
    return pages


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01; default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "slides", help="folder of the decks")
    chosen = parser.parse_args(arguments)
    try:
        build(chosen.names, chosen.out)
    except SlidesError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"open {chosen.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
