"""Pages of the site that are put together from others: lectures, errata, citation."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import yaml
from build_lecture import read_lecture

ROOT = Path(__file__).resolve().parents[1]
LECTURE = re.compile(r"Lecture (\d)[^:]*: (.+)")


def _numbers(before: str, text: str) -> set[int]:
    """The numbers in "Decks 1, 2 and 3", where ``before`` matches "Decks"."""
    found = re.findall(rf"{before} (\d+(?:(?:, | and )\d+)*)", text)
    return {int(number) for numbers in found for number in re.findall(r"\d+", numbers)}


def _sections(page: str) -> dict[str, str]:
    """The sections of a page of docs/; their links as seen from lectures/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    text = re.sub(r"\]\(#", f"](../docs/{page}#", text)
    text = re.sub(r"\]\((?!\.\./|https?:)", "](../docs/", text)
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {title: body.strip() for title, _, body in (s.partition("\n") for s in sections)}


def lectures(decks: dict[int, tuple[str, str]]) -> dict[str, dict[str, str]]:
    """What the page of each lecture says: title, aim, plan, decks, homework, what goes wrong.

    Args:
        decks: file and title of the deck of each notebook.
    """
    sections = _sections("teaching.md")
    wrong = _sections("self_study.md")["What goes wrong, and what to do"]
    rows = re.findall(r"^\| (\d+) \| (`.*`) \|$", sections["Grading"], re.MULTILINE)
    pages = {}
    for title, body in sections.items():
        if not (found := LECTURE.fullmatch(title)):
            continue
        plan, _, homework = body.partition("\nHomework: ")
        aim, _, table = plan.partition("\n\n")
        rows_of_plan = read_lecture(int(found[1])).rows
        shown = {deck for row in rows_of_plan for deck, _ in row.sections}
        links = [_link(*decks[n]) for n in sorted(shown) if n in decks]
        asked = _numbers("exercises of notebooks?", homework)
        exercises = [f"- notebook {n}: {names}" for n, names in rows if int(n) in asked]
        pages[f"lecture_{found[1]}"] = {
            "title": title,
            "aim": aim,
            "decks": "\n".join(["<ul>", *links, "</ul>"]),
            "plan": table,
            "homework": homework[:1].upper() + homework[1:],
            "exercises": "\n".join(exercises),
            "wrong": wrong,
        }
    return pages


def _link(file: str, title: str) -> str:
    return (
        f'<li><a href="../slides/{file}">{title}</a> '
        f'(<a href="../slides/{file}?print-pdf">to print</a>)</li>'
    )


def errata() -> str:
    """What was wrong in each published version: the "Fixed" of the version after it."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.+?)(?: - .*)?$\n((?:(?!^## ).*\n?)*)", text, re.MULTILINE)
    lines = []
    for (mended, body), (wrong, _) in itertools.pairwise(versions):
        if fixed := re.search(r"^### Fixed\n((?:(?!^#).*\n?)*)", body, re.MULTILINE):
            where = "not released yet" if mended == "Unreleased" else f"version {mended}"
            lines += [f"## Version {wrong}", "", f"Corrected in what follows it ({where}):", ""]
            lines += [fixed[1].strip(), ""]
    return "\n".join(lines) or "None is known."


def citation() -> dict[str, str]:
    """The course and its paper in BibTeX, from CITATION.cff."""
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = about["references"]
    names = [f"{a['family-names']}, {a['given-names']}" for a in paper["authors"]]
    (preprint,) = (entry["value"] for entry in paper["identifiers"])
    course = {
        "author": "{" + about["authors"][0]["name"] + "}",
        "title": about["title"],
        "version": about["version"],
        "year": str(about["preferred-citation"]["year"]),
    }
    article = {
        "author": " and ".join(names),
        "title": paper["title"],
        "journal": paper["journal"],
        "volume": str(paper["volume"]),
        "year": str(paper["year"]),
        "doi": paper["doi"],
        "note": preprint,
    }
    return {
        "course": _bibtex("software", "split_vae_course", course),
        "paper": _bibtex("article", "asperti2022enhancing", article),
    }


def _bibtex(kind: str, key: str, fields: dict[str, str]) -> str:
    width = max(map(len, fields))
    lines = [f"  {name:{width}} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
