"""Importing matplotlib where the variable MPLBACKEND names a backend that is not installed.

That import alone would fail, though the figures here need no backend.
"""

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules and (named := os.environ.pop("MPLBACKEND", None)):
    import matplotlib

    os.environ["MPLBACKEND"] = named
    with suppress(ValueError):  # as matplotlib does by itself
        matplotlib.rcParams["backend"] = named
