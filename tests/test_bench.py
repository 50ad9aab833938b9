"""make bench: every script is run or left out with a reason, and one failure stops nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import run_all  # noqa: E402
from run_all import Benchmark  # noqa: E402

HELPERS = {"peak", "record", "run_all", "keras_worker"}
HELPERS |= {"gpu_checks", "gpu_speed", "gpu_scores"}


def test_every_script_is_listed_and_described() -> None:
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")} - HELPERS
    assert {benchmark.name for benchmark in run_all.BENCHMARKS} == scripts
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    for name in scripts:
        assert f"`{name}.py`" in readme
    makefile = (BENCHMARKS.parent / "Makefile").read_text(encoding="utf-8")
    assert "benchmarks/run_all.py" in makefile


@pytest.mark.parametrize("benchmark_", run_all.BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_script_records_and_has_a_header(benchmark_: Benchmark) -> None:
    text = (BENCHMARKS / f"{benchmark_.name}.py").read_text(encoding="utf-8")
    assert text.startswith('"""') and f"python benchmarks/{benchmark_.name}.py" in text
    assert "from record import" in text and ("save(" in text or "run_stage" in text)


def test_what_the_machine_lacks_is_left_out(monkeypatch, capsys) -> None:
    ran = []

    def run(command, **options):
        ran.append(Path(command[1]).stem)
        return subprocess.CompletedProcess(command, int("second" in command[1]))

    monkeypatch.setattr(run_all.subprocess, "run", run)
    monkeypatch.setattr(run_all.torch.cuda, "is_available", lambda: False)
    benchmarks = [
        Benchmark("first", ("no_such_package", "torch")),
        Benchmark("second", ("torch",)),
        Benchmark("third", cuda=True),
        Benchmark("fourth"),
    ]
    assert run_all.run_all(benchmarks) == 1
    assert ran == ["second", "fourth"]
    said = capsys.readouterr().out
    assert "first: left out, this machine lacks the package(s) no_such_package\n" in said
    assert "third: left out, this machine lacks a CUDA device" in said
    assert "failed: second" in said


def test_the_gpu_session_knows_the_stages_that_bench_asks_for() -> None:
    import gpu_session

    assert set(run_all.ON_GPU) <= set(gpu_session.STAGES)


def test_unknown_names_are_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        run_all.main(["widget"])
    assert "unknown: widget; the known ones are" in capsys.readouterr().err
    assert run_all.main(["widgets", "--list"]) == 0
    assert capsys.readouterr().out.startswith("widgets: ")
