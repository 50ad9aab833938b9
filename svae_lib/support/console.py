"""Text for people on any terminal."""

from __future__ import annotations

import sys
from typing import TextIO


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line; a character that the terminal or log cannot show becomes "?".

    Args:
        text: it may hold paths and names from outside, whatever their characters.
        file: where to; default: standard output.
    """
    stream = sys.stdout if file is None else file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=stream)
