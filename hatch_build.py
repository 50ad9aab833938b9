"""What a package says of where the course is published: its links, and those of its README.

The address is that of notebooks/source/course.cfg. While there is none, a package names the paper
alone, and the README's links into the repository become plain words.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PAPER = "https://arxiv.org/abs/2202.02738"
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")


def urls(address: str) -> dict[str, str]:
    """The package's links by name."""
    if not address:
        return {"Paper": PAPER}
    changes = f"{address}/blob/HEAD/CHANGELOG.md"
    return {"Source": address, "Issues": f"{address}/issues", "Changes": changes, "Paper": PAPER}


def readable_anywhere(readme: str, address: str, tag: str) -> str:
    """The README with absolute links, or without those that lead into the repository."""

    def absolute(link: re.Match[str]) -> str:
        image, words, target = link.groups()
        if not address:
            return f"({words})" if image else words
        kind = "raw" if image else "blob"
        return f"{image}[{words}]({address}/{kind}/{tag}/{target})"

    return LINK.sub(absolute, readme)


class PublishedMetadata(MetadataHookInterface):
    """Adds ``urls`` and ``readme`` to the metadata of a build."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in what depends on the address."""
        root, settings = Path(self.root), configparser.ConfigParser()
        settings.read(root / "notebooks/source/course.cfg", encoding="utf-8")
        address = settings["course"]["repository"].strip().rstrip("/").removesuffix(".git")
        version = (root / "svae_lib/_version.py").read_text(encoding="utf-8").split('"')[-2]
        readme = (root / "README.md").read_text(encoding="utf-8")
        metadata["urls"] = urls(address)
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": readable_anywhere(readme, address, f"v{version}"),
        }
