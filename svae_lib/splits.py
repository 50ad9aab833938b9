"""The claim about halves, tested: is the FID of x1 and x2 below that of x in semantic splits?

Works on the record of a table (:mod:`svae_lib.tables`) with many Split VAEs in it. Each run is
placed by :func:`svae_lib.diagnostics.split_kind`; its own x1, x2 and x are compared with each
other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .diagnostics import SplitKind
from .tables import Estimate
from .validation import InputError

LABELS = ("semantic", "mixed", "syntactic", "none")
HALVES = ("x1", "x2", "better", "mean")


@dataclass(frozen=True)
class ClaimTest:
    """A half's FID beside that of x, over the runs with one kind of split."""

    label: str
    """Kind of split; see :class:`svae_lib.diagnostics.SplitKind`."""
    source: str
    """"prior" or "mixture"."""
    half: str
    """"x1", "x2", "better" (the lower of both: lower by chance alone, so no fair test) or "mean"
    (of both scores: the fair one, since neither half is chosen after the fact)."""
    runs: int
    """Runs with this kind of split."""
    below: int
    """Runs in which the half's FID is below that of x."""
    difference: Estimate
    """FID of the half minus FID of x: mean over the runs, 95 % interval."""
    p_value: float
    """Of the one-sided sign test: the chance of so many runs below, if below and above were equally
    likely."""

    @property
    def supported(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.difference.mean + self.difference.half_width < 0

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file; the half-width is None for a single run."""
        estimate = asdict(self.difference)
        if self.difference.n == 1:
            estimate["half_width"] = None
        return {**asdict(self), "difference": estimate, "supported": self.supported}


def claim_tests(record: dict[str, Any]) -> list[ClaimTest]:
    """Test the claim for every kind of split, source and half in a table's record.

    Raises:
        InputError: the record holds no run with a split in two.
    """
    cells = [cell for cell in record["cells"] if cell["split"] and cell["components"] == 2]
    if not cells:
        raise InputError("the table holds no Split VAE: there is nothing to test.")
    found = []
    for label in LABELS:
        alike = [cell for cell in cells if cell["split"]["label"] == label]
        for source in ("prior", "mixture") if alike else ():
            for half in HALVES:
                found.append(_test(label, source, half, [_gap(c, source, half) for c in alike]))
    return found


def kinds_of(record: dict[str, Any]) -> list[SplitKind]:
    """Kind of split of each run in a record, in its order; for a plot of the plane."""
    return [SplitKind(**cell["split"]) for cell in record["cells"] if cell["split"]]


def summarise_claim(tests: list[ClaimTest]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text."""
    columns = ["split", "images", "half", "runs", "below x", "FID minus FID of x", "sign test p"]
    lines = [
        [
            t.label,
            t.source,
            t.half,
            str(t.runs),
            str(t.below),
            str(t.difference),
            f"{t.p_value:.3f}",
        ]
        for t in tests
    ]
    return columns, lines


def _test(label: str, source: str, half: str, gaps: list[float]) -> ClaimTest:
    from scipy.stats import binomtest  # here: its import takes a second

    below = sum(gap < 0 for gap in gaps)
    p = float(binomtest(below, len(gaps), alternative="greater").pvalue)
    return ClaimTest(label, source, half, len(gaps), below, Estimate.of(gaps), p)


def _gap(cell: dict[str, Any], source: str, half: str) -> float:
    """FID of a half minus FID of x, of one run."""
    fid = {r["part"]: float(r["fid"]["value"]) for r in cell["rows"] if r["source"] == source}
    chosen = {
        "x1": fid["x1"],
        "x2": fid["x2"],
        "better": min(fid["x1"], fid["x2"]),
        "mean": (fid["x1"] + fid["x2"]) / 2,
    }
    return chosen[half] - fid["x"]
