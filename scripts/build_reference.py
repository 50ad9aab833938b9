"""Make the library's reference, HTML pages from its docstrings: reference/index.html.

    python scripts/build_reference.py [--out DIR]

A page per module, in the order of the README's map, with search; the pages need no network. Made
by Sphinx, of the extra "reference" (pip install ".[reference]"); a docstring that refers to what is
not there is an error.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.ext.napoleon import GoogleDocstring

import svae_lib

ROOT = Path(__file__).resolve().parents[1]
MARK = "objects.inv"  # in every folder that Sphinx has made
SETTINGS = {
    "project": "svae_lib",
    "author": "The Split-VAE course authors",
    "copyright": "The Split-VAE course authors",
    "version": svae_lib.__version__,
    "release": svae_lib.__version__,
    "extensions": ["sphinx.ext.autodoc", "sphinx.ext.viewcode"],
    "html_theme": "alabaster",
    "html_show_sphinx": False,
    "autodoc_member_order": "bysource",
    "autodoc_default_options": {"members": True, "exclude-members": "set"},
    "autodoc_typehints": "signature",
    "autodoc_preserve_defaults": True,
    "python_use_unqualified_type_names": True,
    "default_role": "code",
    # What a docstring refers to has to be there; the pages of other libraries are not at hand.
    "nitpicky": True,
    "nitpick_ignore_regex": [
        ("py:class", r"(?!svae_lib\.).*|svae_lib\.course\.(budgets|asking|record)\.\w+"),
        ("py:class", r"svae_lib\.support\.\w+\.(T|Named)"),  # variables of types
        ("py:.*", r"(torch|numpy)\..*|\w+(Error|Warning|Interrupt)"),
    ],
}


def layers() -> Iterator[tuple[str, list[str]]]:
    """What a line of the README's map says, and the modules that it names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.search(r"```\n(cli  .*?)```", text, re.DOTALL)
    assert listed is not None, "README.md has lost the map of the modules"
    for line in listed[1].splitlines():
        names, _, what = line.partition("   ")
        modules = [f"svae_lib.{name.rstrip('/')}" for name in names.split()]
        yield what.strip() or "used by all of them", modules


def _google(_app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Read Args, Returns and Raises; a field's text stays whole, colons and all."""
    if what not in ("attribute", "data", "property"):
        read = GoogleDocstring(lines, None, None, what, name, thing, options).lines()
        ours = ":raises ~svae_lib.support.checks.InputError:"  # wherever it is raised
        lines[:] = [line.replace(":raises InputError:", ours) for line in read]


def parts_of(name: str) -> list[str]:
    """The modules of a package that hands on no names of its own; they stand on its page."""
    module = importlib.import_module(name)
    if hasattr(module, "__all__") or not hasattr(module, "__path__"):
        return []
    return [f"{name}.{part.name}" for part in pkgutil.iter_modules(module.__path__)]


def write_sources(folder: Path) -> None:
    """A page per module and an index, in Sphinx' own format."""
    index = ["svae_lib", "========", "", ".. automodule:: svae_lib", "   :no-members:", ""]
    for what, modules in layers():
        index += [".. toctree::", f"   :caption: {what}", "   :maxdepth: 1", ""]
        index += [f"   {module}" for module in modules] + [""]
        for module in modules:
            page = [module, "=" * len(module), "", f".. automodule:: {module}", ""]
            for part in parts_of(module):
                page += [part, "-" * len(part), "", f".. automodule:: {part}", ""]
            (folder / f"{module}.rst").write_text("\n".join(page), encoding="utf-8")
    (folder / "index.rst").write_text("\n".join(index), encoding="utf-8")


def build(out: Path) -> Path:
    """Make the pages in ``out``, where older ones are replaced, and return the first.

    Raises:
        FileExistsError: ``out`` is, or holds, something else.
        SphinxError: a docstring that Sphinx cannot read, or that refers to what is not there.
    """
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / MARK).exists()):
        raise FileExistsError(
            f"{out} is a file, or holds other files than a reference: choose another folder."
        )
    with tempfile.TemporaryDirectory() as work:
        source, made = Path(work, "source"), Path(work, "html")
        source.mkdir()
        write_sources(source)
        app = Sphinx(
            source,
            None,
            made,
            Path(work, "doctrees"),
            "html",
            SETTINGS,
            status=None,
            warningiserror=True,
        )
        app.connect("autodoc-process-docstring", _google)
        app.build()
        if app.statuscode:
            raise SphinxError("there were warnings, see above")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return out / "index.html"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "reference")
    try:
        print(build(parser.parse_args().out))
    except (FileExistsError, SphinxError) as error:
        sys.exit(f"build_reference: {error}")
