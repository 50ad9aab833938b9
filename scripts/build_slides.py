"""Make reveal.js decks from the solved notebooks: slides/NN_name.html and slides/index.html.

    python scripts/build_slides.py              all decks
    python scripts/build_slides.py 01 03        only these
    python scripts/build_slides.py --out DIR    elsewhere

The decks need no network: reveal.js, its fonts and MathJax are copied beside them, from packages
of the extra "slides" (pip install ".[slides]"). What is on a slide: slide_layout.py. The deck of a
lecture, from several notebooks: build_lecture.py.
"""

from __future__ import annotations

import argparse
import html
import importlib.metadata
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import FileSystemLoader
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from slide_layout import belong_together, lay_out, parts_of
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
# Distribution, file inside it, and where it goes in the folder of the decks.
ASSETS = (
    ("sphinx-revealjs", "revealjs/dist/reveal.js", "reveal/reveal.js"),
    ("sphinx-revealjs", "revealjs/dist/reveal.css", "reveal/reveal.css"),
    ("sphinx-revealjs", "revealjs/dist/reset.css", "reveal/reset.css"),
    ("sphinx-revealjs", "revealjs/plugin/notes/notes.js", "reveal/notes.js"),
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


def render(cells: Sequence[NotebookNode], title: str, template: str = "slides.html.j2") -> str:
    """A page of slides; it refers to the files of :data:`ASSETS` beside it.

    Args:
        cells: with slide types, as from :func:`slide_layout.lay_out`.
        title: of the page.
        template: beside this file.
    """
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
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
        template_file=template,
    )
    page, _ = exporter.from_notebook_node(notebook)
    return str(page).replace("<th></th>", "<td></td>")  # screen readers stumble over the former


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


def both_versions(name: str, notebooks: Path = NOTEBOOKS) -> tuple[NotebookNode, NotebookNode]:
    """A solved notebook and the learners' version of it.

    Raises:
        SlidesError: they differ.
    """
    solved: Any = nbformat.read(notebooks / "solutions" / f"{name}.ipynb", as_version=4)
    learners: Any = nbformat.read(notebooks / f"{name}.ipynb", as_version=4)
    if not belong_together(solved, learners):
        raise SlidesError(f"{name}: its two versions differ: run make notebooks first.")
    return solved, learners


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
<link rel="icon" href="data:,">
<style>
body {{ font: 22px/1.6 sans-serif; color: #222; max-width: 40em; margin: auto; padding: 1em; }}
ul {{ padding: 0; }}
li {{ list-style: none; }} a {{ color: #0a5a9c; }} kbd {{ font-family: monospace; }}
</style>
</head>
<body>
<main>
<h1>The Split-VAE course: slides</h1>
<ul>
{entries}
</ul>
<p>Right and left arrow: next and previous slide; <kbd>Esc</kbd>: overview; <kbd>F</kbd>: full
screen; <kbd>B</kbd>: black.</p>
</main>
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
    chosen = [s.stem for s in sources if not names or s.stem.startswith(tuple(names))]
    if not chosen:
        raise SlidesError(f"There is no solved notebook {' or '.join(names)} in {notebooks}.")
    copy_assets(out)
    pages = []
    for name in chosen:
        solved, learners = both_versions(name, notebooks)
        page = out / f"{name}.html"
        text = render(lay_out(parts_of(solved, learners)), title_of(solved))
        page.write_text(text, encoding="utf-8")
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
