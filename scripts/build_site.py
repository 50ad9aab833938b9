"""Make the course's web site from what is stored: site/index.html. Nothing is executed.

    python scripts/build_site.py [--out DIR] [--without-explorer]

Sphinx with MyST-NB: the solved notebooks with folded exercises, the documents, the library's
reference, the decks, and the explorer, a page in which the shipped models run. Needs the extra
"site" (pip install ".[site]"), and for the explorer the packages of scripts/explorer/package.json
(npm ci); `make site` installs both. The pages ask nothing of any other machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import build_lecture
import build_notebooks
import build_reference
import build_slides
import explorer_models
import nbformat
import site_pages
import site_words
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.errors import SphinxError

from svae_lib.course import exercises

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "site_source"
EXPLORER = ROOT / "scripts" / "explorer"
RUNTIME = EXPLORER / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
ASKS = re.compile(r"sv\.course\.(predict|quiz)\(")
READMES = ("results/README.md", "data/README.md", "data/trained/README.md", "benchmarks/README.md")
WITHOUT = (
    '<p role="status">This site was built without the explorer: call <code>make site</code>.</p>'
)
# What MathJax's menu, of an older copy of the site or of another one at this address, has stored:
# it may ask for files that are not here, and then no formula is set.
FORGET_MENU = 'localStorage.removeItem("MathJax-Menu-Settings")'

SETTINGS: dict[str, Any] = build_reference.SETTINGS | {
    "project": "The Split-VAE course",
    "html_title": "The Split-VAE course",
    "language": "en",
    "extensions": [*build_reference.SETTINGS["extensions"], "myst_nb", "sphinx.ext.mathjax"],
    "nitpicky": False,  # make reference looks at these
    "default_role": "code",
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},  # stored widgets have an HTML twin that needs no script
    "nb_mime_priority_overrides": [("html", "application/vnd.jupyter.widget-view+json", None)],
    "myst_enable_extensions": ["dollarmath", "amsmath", "html_image"],
    "myst_heading_anchors": 4,
    "mathjax_path": "mathjax/tex-svg.js",
    "mathjax3_config": {"options": {"enableMenu": False}},  # it makes formulas Tab stops
    "exclude_patterns": ["notebooks/download/**"],
    "html_theme": "pydata_sphinx_theme",
    "html_theme_options": {
        "navbar_persistent": ["search-button"],
        "navbar_end": ["navbar-icon-links", "theme-switcher"],
        "logo": {"text": "The Split-VAE course"},
        "footer_start": ["copyright"],
        "footer_end": [],
        "show_prev_next": True,
        "navigation_with_keys": False,
        "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "explorer": []},
        "back_to_top_button": False,
    },
    "html_sidebars": {"index": [], "explorer": []},
    "html_static_path": ["_static"],
    "html_css_files": ["site.css"],
    "html_js_files": [(None, {"body": FORGET_MENU}), ("glossary.js", {"defer": "defer"})],
    "html_favicon": "_static/icon.svg",
    "html_context": {"default_mode": "auto"},
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "copyright": "The Split-VAE course authors; code MIT, text and pictures CC BY 4.0",
}


class SiteError(Exception):
    """The site cannot be made; the message says why."""


# ---------------------------------------------------------------- notebooks


def page_of(solved: NotebookNode, learners: NotebookNode) -> NotebookNode:
    """A notebook for the site: outputs of the solved one, exercises and answers folded."""
    cells = []
    for cell, stub in zip(solved.cells, learners.cells, strict=True):
        if "skip" in cell.metadata.get("tags", []) or cell.source.startswith("# Start cell"):
            continue
        if cell.cell_type == "markdown":
            cells.append(_text(cell, stub))
        elif cell.source == stub.source:
            if ASKS.match(cell.source):  # the question below says it all
                cell.metadata["tags"] = ["remove-input"]
            cells.append(cell)
        else:
            cells += _exercise(cell, stub)
    return nbformat.v4.new_notebook(cells=cells, metadata=solved.metadata)


def _text(cell: NotebookNode, stub: NotebookNode) -> NotebookNode:
    """What learners read, with links as seen from notebooks/."""
    text = stub.source
    text = re.sub(r"Stuck\? \[The solved version is here\]\([^)]*\)\.", "{{versions}}", text)
    text = re.sub(r"\[!\[Open in Colab\]\([^)]*\)\]", "[Open in Colab]", text)
    text = text.replace("(../README.md)", "(../index.md)")
    text = text.replace("</b>: predict and run the cells above first", "</b>")
    return nbformat.v4.new_markdown_cell(text, id=cell.id)


def _exercise(cell: NotebookNode, stub: NotebookNode) -> Iterator[NotebookNode]:
    """The stub, then the hints and the solution, each behind a click."""
    parts = [f"```python\n{stub.source}\n```"]
    found = re.search(r'sv\.exercises\.check\("(\w+)"', cell.source)
    hints = exercises.registry()[found[1]].hints if found else ()
    for number, hint in enumerate(hints, 1):
        summary = f"Hint {number} of {len(hints)}"
        parts.append(f"<details><summary>{summary}</summary><p>{escape(hint)}</p></details>")
    solution = f"```python\n{cell.source}\n```"
    parts += ["<details><summary>Solution</summary>", solution, "</details>"]
    text = "\n\n".join(['<div class="exercise">', *parts, "</div>"])
    yield nbformat.v4.new_markdown_cell(text, id=cell.id)
    if pictures := [o for o in cell.outputs if o.output_type != "stream"]:
        yield nbformat.v4.new_code_cell("", outputs=pictures)


def write_notebooks(folder: Path) -> None:
    """The pages of all notebooks, their index, and the notebooks themselves to download."""
    folder.mkdir(parents=True)
    (folder / "download" / "solutions").mkdir(parents=True)
    names = []
    for path in sorted((ROOT / "notebooks" / "solutions").glob("[0-9][0-9]_*.ipynb")):
        learners_path = ROOT / "notebooks" / path.name
        solved: Any = nbformat.read(path, as_version=4)
        learners: Any = nbformat.read(learners_path, as_version=4)
        if not build_slides.belong_together(solved, learners):
            raise SiteError(f"{path.stem}: its two versions differ: run make notebooks first.")
        page = page_of(solved, learners)
        links = (
            f"Download: {{download}}`exercises <download/{path.name}>`, "
            f"{{download}}`solved <download/solutions/{path.name}>`."
        )
        page.cells[0].source = page.cells[0].source.replace("{{versions}}", links)
        nbformat.write(page, folder / path.name)
        shutil.copy(learners_path, folder / "download" / path.name)
        shutil.copy(path, folder / "download" / "solutions" / path.name)
        names.append(path.stem)
    fill("notebooks_index.md", folder / "index.md", pages="\n".join(names))


# ---------------------------------------------------------------- the other pages


def fill(name: str, target: Path, **values: str) -> None:
    """Write a page of site_source/ with its placeholders filled in."""
    text = (PAGES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{{{key}}}}}", value)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def repository() -> str:
    """The address of the course's repository on the web; "" where none is set."""
    address = build_notebooks.read_course().repository.removesuffix(".git")
    return address if address.startswith("https://") else ""


def linked(words: str, place: str = "") -> str:
    """Words as a link into the repository, where its address is known."""
    return f"[{words}]({repository()}{place})" if repository() else words


def picture_line() -> str:
    """What other sites show of a page: a picture, by an absolute address that GitHub has."""
    course = build_notebooks.read_course()
    if not course.colab:
        return ""
    place = f"raw/v{course.version}/docs/pictures/faces.png"
    return f'"property=og:image": {repository()}/{place}'


def write_documents(folder: Path) -> None:
    """docs/, the READMEs beside data and results, changes, errata, licence and citation."""
    shutil.copytree(ROOT / "docs", folder / "docs")
    for page in (folder / "docs").glob("*.md"):
        page.write_text(_as_myst(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name in READMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        text = text.replace("](README.md#the-library)", "](reference/index.rst)")
        (folder / name).write_text(text, encoding="utf-8")
    report = linked("report it", "/issues")
    fill("errata.md", folder / "errata.md", report=report, errata=site_pages.errata())
    fill("citation.md", folder / "citation.md", **site_pages.citation())
    index = (PAGES / "docs_index.md").read_text(encoding="utf-8")
    others = [p.stem for p in sorted((ROOT / "docs").glob("*.md")) if p.stem not in index.split()]
    others = [name for name in others if name != "index"]
    more = "\n".join(["```{toctree}", ":maxdepth: 1", ":caption: More", "", *others, "```"])
    fill("docs_index.md", folder / "docs" / "index.md", others=more if others else "")


def drop_dead_links(folder: Path) -> None:
    """Links to files of the repository that are no part of the site become plain text."""
    for page in [*folder.glob("*.md"), *folder.glob("*/*.md"), *folder.glob("data/*/*.md")]:

        def keep(found: re.Match[str], page: Path = page) -> str:
            target = found[2].partition("#")[0]
            there = not target or (page.parent / target).is_file()
            return found[0] if there else found[1]

        text = page.read_text(encoding="utf-8")
        pattern = r"(?<!!)\[([^\[\]]*)\]\((?!https?:|mailto:)([^()\s]+)\)"
        page.write_text(re.sub(pattern, keep, text), encoding="utf-8")


def _as_myst(text: str) -> str:
    """Anchors and links as MyST has them, where GitHub's are others."""
    text = re.sub(r'^<a id="([\w-]+)"></a>$', r"(\1)=", text, flags=re.MULTILINE)
    text = re.sub(r"\]\((?:\.\./docs/)?question_bank\.md#(q\d+-\d+)\)", r"](#\1)", text)
    return text.replace("](../notebooks/solutions)", "](../notebooks/index.md)")


def write_landing(folder: Path) -> None:
    """README.md up to its commands, then how to cite."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    front = readme.partition("\n## ")[0].strip()
    first, mark, pictures = front.partition("\n![")
    cite = readme.partition("\n## Cite")[2]
    cite = cite.replace("[CITATION.cff](CITATION.cff)", "[how to cite](citation.md)")
    parts = {"first": first, "pictures": mark + pictures, "rest": f"## Cite{cite}"}
    parts |= {"copy": linked("take a copy"), "picture": picture_line()}
    fill("index.md", folder / "index.md", **parts)


def write_lectures(folder: Path, made: Path) -> None:
    """The decks in ``made``, a page for each lecture, and a page that lists both."""
    decks = {int(deck.stem[:2]): (deck.name, _title(deck)) for deck in build_slides.build([], made)}
    pages = site_pages.lectures(decks)
    for name, values in pages.items():
        values = {key: _as_myst(value) for key, value in values.items()}
        own = build_lecture.build(int(name.removeprefix("lecture_")), made)
        labels = ("Deck of this lecture", "Plan with slide numbers", "Handout, to print")
        links = [
            f'<li><a href="../slides/{page.name}">{label}</a></li>'
            for page, label in zip(own, labels, strict=True)
        ]
        values["decks"] = "\n".join(["<ul>", *links, "</ul>", values["decks"]])
        fill("lecture.md", folder / f"{name}.md", **values)
    links = [f'<li><a href="../slides/{file}">{title}</a></li>' for file, title in decks.values()]
    listed = "\n".join(["<ul>", *links, "</ul>"])
    fill("lectures_index.md", folder / "index.md", decks=listed, pages="\n".join(pages))


def _title(deck: Path) -> str:
    notebook: Any = nbformat.read(ROOT / "notebooks" / f"{deck.stem}.ipynb", as_version=4)
    return build_slides.title_of(notebook)


def write_explorer(folder: Path, wanted: bool) -> None:
    """The explorer's page; its script, models and runtime as static files."""
    if not wanted:
        fill("explorer.md", folder / "explorer.md", explorer=WITHOUT, picture=picture_line())
        return
    missing = [name for name in RUNTIME_FILES if not (RUNTIME / name).exists()]
    if missing:
        raise SiteError(
            f"onnxruntime-web is not installed ({missing[0]} is missing): call make site, or npm "
            "ci in scripts/explorer, or build --without-explorer."
        )
    static = folder / "_static" / "explorer"
    (static / "runtime").mkdir(parents=True)
    for name in RUNTIME_FILES:
        shutil.copy(RUNTIME / name, static / "runtime" / name)
    for path in sorted([*EXPLORER.glob("*.js"), *EXPLORER.glob("*.css")]):
        shutil.copy(path, static / path.name)
    explorer_models.write(static / "models")
    page = (EXPLORER / "explorer.html").read_text(encoding="utf-8")
    fill("explorer.md", folder / "explorer.md", explorer=page, picture=picture_line())


def write_static(folder: Path) -> None:
    """Style sheet, icon and MathJax."""
    static = folder / "_static"
    (static / "mathjax").mkdir(parents=True)
    for name in ("site.css", "glossary.js", "icon.svg"):
        shutil.copy(PAGES / name, static / name)
    for distribution, name, target in build_slides.ASSETS:
        if target.startswith("mathjax/"):
            files = importlib.metadata.files(distribution) or []
            found = next(file for file in files if str(file).endswith(name))
            shutil.copy(str(found.locate()), static / target)


def _mend_html(app: Sphinx, page: str, template: str, context: Any, tree: object) -> None:
    """What screen readers stumble over: headers without text, lists directly within lists."""
    body = context.get("body", "")
    body = body.replace('<th class="head"><p></p></th>', "<td></td>")
    if page == "_modules/index":
        heading, _, listed = body.partition("<ul>")
        body = f"{heading}<ul>{''.join(re.findall(r'<li>.*?</li>', listed))}</ul>"
    context["body"] = body
    if page == "index":  # its title is that of the whole site, which would follow it
        context["docstitle"] = ""


# ---------------------------------------------------------------- the whole


def build(out: Path, *, explorer: bool = True) -> Path:
    """Make the site in ``out``, where an older one is replaced, and return its first page.

    Raises:
        FileExistsError: ``out`` is, or holds, something else.
        SiteError, SlidesError, SphinxError: a page cannot be made, or there were warnings.
    """
    mark = build_reference.MARK
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / mark).exists()):
        raise FileExistsError(f"{out} is a file, or holds other files than a site.")
    with tempfile.TemporaryDirectory() as work:
        source, made, extra = Path(work, "source"), Path(work, "html"), Path(work, "extra")
        write_static(source)
        write_notebooks(source / "notebooks")
        write_documents(source)
        write_landing(source)
        write_lectures(source / "lectures", extra / "slides")
        write_explorer(source, explorer)
        (source / "reference").mkdir()
        build_reference.write_sources(source / "reference")
        drop_dead_links(source)
        shutil.copy(PAGES / "404.html", extra / "404.html")
        settings = SETTINGS | {"html_extra_path": [str(extra)]}
        if repository():
            link = {"name": "Repository", "url": repository(), "icon": "fa-brands fa-git-alt"}
            options = SETTINGS["html_theme_options"] | {"icon_links": [link]}
            settings["html_theme_options"] = options
        app = Sphinx(
            source,
            None,
            made,
            Path(work, "doctrees"),
            "html",
            settings,
            status=None,
            warningiserror=True,
            parallel=2,
        )
        app.connect("autodoc-process-docstring", build_reference._google)
        app.connect("html-page-context", _mend_html)
        site_words.connect(app)
        app.build()
        if app.statuscode:
            raise SphinxError("there were warnings, see above")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return out / "index.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "site")
    parser.add_argument("--without-explorer", action="store_true", help="no models in the page")
    chosen = parser.parse_args(arguments)
    try:
        print(build(chosen.out, explorer=not chosen.without_explorer))
    except (FileExistsError, SiteError, SphinxError, build_slides.SlidesError) as error:
        print(f"build_site: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
