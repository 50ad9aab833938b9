"""Words of docs/glossary.md, linked to their entries where they first occur in a section.

On the site, site_source/glossary.js shows the entry when a word is hovered or focused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "docs/glossary"
LINKED = ("docs/", "lectures/", "notebooks/", "results/")


def entry_id(name: str) -> str:
    """The anchor of an entry on the glossary's page."""
    return "term-" + nodes.make_id(name)


def forms(name: str) -> list[str]:
    """The words under which an entry is looked for: "Active, inactive variable" has two.

    A name that is explained in brackets, such as "Mix (in scores)", is too common a word.
    """
    if "(" in name:
        return []
    parts = name.split(", ")
    noun = parts[-1].partition(" ")[2]
    if len(parts) > 1 and not noun:
        return [" and ".join(parts)]
    return [part if part.endswith(noun) else f"{part} {noun}" for part in parts]


def read_words(glossary: Path) -> dict[str, str]:
    """Each form of a word, in small letters unless it is an abbreviation, with its entry's id."""
    text = glossary.read_text(encoding="utf-8")
    names = re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE)
    names += re.findall(r"^\| ([A-Z]{2,}) \|", text, re.MULTILINE)
    found = {form: entry_id(name) for name in names for form in forms(name)}
    return {form if form.isupper() else form.lower(): entry for form, entry in found.items()}


def _pattern(words: dict[str, str]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    options = [re.escape(w) if w.isupper() else f"(?i:{re.escape(w)})s?" for w in longest_first]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(options)})(?![\w-])")


def mark_entries(app: Sphinx, doctree: nodes.document) -> None:
    """Give the glossary's entries their anchors."""
    if app.env.docname != GLOSSARY:
        return
    for paragraph in doctree.findall(nodes.paragraph):
        first = next((child for child in paragraph.children if child.astext()), None)
        if isinstance(first, nodes.strong):
            paragraph["ids"].append(entry_id(first.astext().rstrip(".")))
    for row in doctree.findall(nodes.row):
        if re.fullmatch(r"[A-Z]{2,}", row[0].astext()):
            row[-1][0]["ids"].append(entry_id(row[0].astext()))


def _texts(doctree: nodes.document) -> Iterator[tuple[nodes.Text, nodes.Node]]:
    """The running text, outside tables, code, formulas and links, with its section."""
    for text in list(doctree.findall(nodes.Text)):
        around = []
        node = text.parent
        while node is not None:
            around.append(node)
            node = node.parent
        inline = [n for n in around if not isinstance(n, nodes.emphasis | nodes.strong)]
        if isinstance(inline[0], nodes.paragraph) and not any(
            isinstance(n, nodes.table) for n in around
        ):
            sections = [n for n in around if isinstance(n, nodes.section)]
            yield text, (sections[-2:] or [doctree])[0]


def link_words(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make links of the first occurrences of each word in the sections of a page."""
    if docname == GLOSSARY or not docname.startswith(LINKED):
        return
    words = read_words(Path(app.srcdir, f"{GLOSSARY}.md"))
    pattern = _pattern(words)
    page = app.builder.get_relative_uri(docname, GLOSSARY)
    seen: set[tuple[int, str]] = set()
    for text, section in _texts(doctree):
        parts: list[nodes.Node] = []
        end = 0
        for found in pattern.finditer(text.astext()):
            word = found[0] if found[0] in words else found[0].lower()
            entry = words[word] if word in words else words[word.removesuffix("s")]
            if (id(section), entry) in seen:
                continue
            seen.add((id(section), entry))
            link = nodes.reference("", found[0], refuri=f"{page}#{entry}", internal=True)
            link["classes"].append("term")
            parts += [nodes.Text(text.astext()[end : found.start()]), link]
            end = found.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text.astext()[end:])])


def connect(app: Sphinx) -> None:
    """Link words in all pages that this application makes."""
    app.connect("doctree-read", mark_entries)
    app.connect("doctree-resolved", link_words)
