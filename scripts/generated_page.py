"""What the pages that are made from records have in common: tables, and writing or checking."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from svae_lib.support.files import write_text


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write_or_check(page: Path, text: str, description: str | None) -> None:
    """The command line of a page's script: write it, or with --check fail where it differs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        write_text(page, text, overwrite=True)
    elif not page.exists() or page.read_text(encoding="utf-8") != text:
        sys.exit(f"{page.name} is out of date: python scripts/{Path(sys.argv[0]).name}")
