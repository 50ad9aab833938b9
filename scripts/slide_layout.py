"""How a notebook becomes slides: its parts, their heights, and which of them share a slide.

Where a slide begins is decided by the notebooks' slide tags (scripts/build_notebooks.py); what does
not fit on one slide goes on to the next. Of an exercise the stub is shown, never the solution; of
longer code only what it prints or draws.
"""

from __future__ import annotations

import copy
import re
import struct
import textwrap
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import nbformat
from nbformat import NotebookNode

QUESTION = "**What do you expect?**"

# Pixels of a slide of 1280 x 720, which reveal.js scales to the screen.
USABLE = 640
"""Height that the parts of a slide may add up to, by the estimates below."""
TEXT_LINE, TEXT_COLUMNS = 37, 92
CODE_LINE, CODE_LONGEST = 23, 14
CODE_COLUMNS, TABLE_COLUMNS = 104, 106
"""Characters in a line of code or output, and in a row of a table."""
CODE_BESIDE_PICTURE = 5
"""Lines of code that are shown with a picture; longer code stays in the notebook."""
LETTERS, LEGIBLE = 13.9, 18
"""Height of most letters in a picture as it is in a notebook (10 points, 100 to the inch), and the
least height of letters on a slide."""
ENLARGE, PICTURE_WIDTH, PICTURE_HEIGHT = 1.65, 1190, 584
"""Pictures are made for a page; on a slide they are larger."""
CROWDED = 1.2
"""How much too high a slide of text may become where its beginning would stand alone; it is then
shrunk. Code and tables, whose letters are smaller, never are."""

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
    section: str = ""
    """Number of the section that it stands in, such as "4" or "4.1"; "" before the first."""

    @property
    def small(self) -> bool:
        """Whether its letters are too small to be shrunk."""
        return self.cell.cell_type == "code" or "\n|" in self.cell.source


def parts_of(solved: NotebookNode, learners: NotebookNode) -> list[Part]:
    """The parts of a notebook, in order; a heading keeps company with what it heads.

    Args:
        solved: the executed notebook.
        learners: the same notebook as learners see it, cell by cell.
    """
    parts: list[Part] = []
    section = ""
    for cell, stub in zip(solved.cells, learners.cells, strict=True):
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind in ("skip", "notes"):
            continue
        if cell.cell_type == "markdown":
            found = list(_markdown_parts(cell.source))
            for before, part in pairwise(found):  # headings within a cell, as in build_notebooks
                heading = re.match(r"##+ ", part.cell.source)
                if heading and not before.cell.source.startswith("#"):
                    part.begins = "slide" if len(heading[0]) == 3 else "subslide"
        elif cell.source != stub.source:  # an exercise: what it prints would tell the solution
            found = [_code(stub.source)]
        else:
            found = list(_code_parts(cell))
        if found and kind in ("slide", "subslide"):
            found[0].begins = kind
        for part in found:
            section = _section(part.cell) or section
            part.section = section
        parts += found
    for part, following in zip(parts[-2::-1], parts[:0:-1], strict=True):  # from the end
        if part.cell.cell_type == "markdown" and part.cell.source.startswith("#"):
            part.company = (following.least or following.height) + following.company
    return parts


def _section(cell: NotebookNode) -> str | None:
    """Number of the section that a cell opens; None where it opens none."""
    found = re.match(r"##+ (\d+(?:\.\d+)?)[. ]", cell.source)
    return found[1] if found and cell.cell_type == "markdown" else None


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
        if size := _picture(output):
            shown = _output(output)
            scale = min(ENLARGE, PICTURE_WIDTH / size[0], PICTURE_HEIGHT / size[1])
            least = int(size[1] * min(scale, LEGIBLE / LETTERS)) + 16
            yield Part(shown, int(size[1] * scale) + 16, least=least)
        else:
            lines, most = _printed(output), (USABLE - 56) // CODE_LINE
            for begin in range(0, len(lines), most):
                text = "\n".join(lines[begin : begin + most])
                shown = _output(nbformat.v4.new_output("stream", text=text))
                yield Part(shown, CODE_LINE * len(text.splitlines()) + 16)


def _output(output: NotebookNode) -> NotebookNode:
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    cell.metadata["tags"] = ["output-only"]
    return cell


def _printed(output: NotebookNode) -> list[str]:
    """The lines of an output; long ones are broken, those of tables only as a last resort."""
    if output.output_type == "error":
        text = f"{output.ename}: {output.evalue}"
    else:
        text = output.get("text") or str(output.get("data", {}).get("text/plain", ""))
    lines: list[str] = []
    for line in _squeezed(str(text).rstrip().splitlines()):
        is_row = "  " in line.strip()
        columns = TABLE_COLUMNS if is_row else CODE_COLUMNS
        keep = is_row and len(line) <= columns
        lines += [line] if keep else textwrap.wrap(line, columns, subsequent_indent="    ") or [""]
    return lines


def _squeezed(lines: list[str]) -> list[str]:
    """The lines with narrower gaps between a table's columns, where it is too wide for a slide."""
    rows = [line for line in lines if "  " in line.strip()]
    width = max(map(len, rows), default=0)
    if width <= TABLE_COLUMNS:
        return lines
    gap = [all(row[i : i + 1] in ("", " ") for row in rows) for i in range(width)]
    kept = [i for i in range(width) if not (i > 1 and gap[i] and gap[i - 1] and gap[i - 2])]
    return [
        "".join(line[i : i + 1] for i in kept).rstrip() if line in rows else line for line in lines
    ]


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
        room = usable * CROWDED if used < 0.3 * usable and not part.small else usable
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
    before, src, after = str(data["text/html"]).partition(' src="')
    before = re.sub(r' (width|height|style)="[^"]*"', "", before)  # a widget's picture has a style
    before = before.replace("<img ", f'<img style="height: {height}px" ', 1)
    data["text/html"] = before + src + after
