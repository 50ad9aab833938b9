"""Measure how long the learners' notebooks take, and write it into their headers.

    python scripts/time_notebooks.py smoke           all notebooks in one profile
    python scripts/time_notebooks.py gpu 01 05       some of them

The times go to benchmarks/results/notebook_minutes.json, with the machine that they were measured
on, and from there into the notebooks. (The laptop profile is measured as well whenever
build_notebooks.py executes a solution.)
"""

from __future__ import annotations

import argparse
import sys

import build_notebooks as notebooks


def main() -> int:
    """Measure, record, and generate the headers anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("profile", choices=notebooks.PROFILES)
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01; default: all")
    chosen = parser.parse_args()
    course = notebooks.read_course()
    for source in notebooks.sources(chosen.names):
        learners = notebooks.build(source, course, {}, solved=False)
        _, seconds = notebooks.execute(learners, chosen.profile)
        notebooks.record_minutes(source.stem, chosen.profile, seconds)
        print(f"{source.stem}: {seconds:.0f} s")
        notebooks.generate(source, course, "laptop", run=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
