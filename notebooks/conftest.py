"""For pytest --nbval-lax notebooks: the small profile, and a cell that should raise has to raise.

By itself nbval only allows a cell tagged raises-exception to raise.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from nbval.plugin import IPyNbCell

os.environ.setdefault("SVAE_PROFILE", "smoke")  # the kernels inherit it
os.environ["SVAE_PROGRESS"] = "off"  # a test run is nobody's progress


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a cell that is tagged raises-exception and raised nothing."""
    yield
    if isinstance(item, IPyNbCell) and item.options["check_exception"]:
        if not any(output.output_type == "error" for output in item.test_outputs):
            item.raise_cell_error("The cell is tagged raises-exception, and raised nothing", "")
