"""Memory that is kept while something lasts: asked for once, given back by the last."""

from __future__ import annotations

import threading

import pytest
import torch

import svae_lib as sv
from svae_lib.support import devices as allocation
from svae_lib.support.devices import kept_memory


class Recorder:
    """Stands in for the C library."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...] | str] = []

    def mallopt(self, option: int, value: int) -> int:
        self.calls.append((option, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.calls.append("trim")
        return 1


KEPT = [(-1, -1), (-4, 0)]
RETURNED = [(-1, 64 << 20), (-3, 32 << 20), (-4, 65536), "trim"]


@pytest.fixture
def libc(monkeypatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(allocation, "_glibc", lambda: recorder)
    return recorder


def test_memory_is_kept_inside_and_returned_after_an_error_too(libc: Recorder) -> None:
    with pytest.raises(ValueError, match="inside"), kept_memory():
        assert libc.calls == KEPT
        raise ValueError("inside")
    assert libc.calls == KEPT + RETURNED


def test_the_last_to_end_returns_it(libc: Recorder) -> None:
    with kept_memory():
        with kept_memory():
            assert libc.calls == KEPT
        assert libc.calls == KEPT
        first, second = threading.Event(), threading.Event()

        def another() -> None:
            with kept_memory():
                first.set()
                second.wait(10)

        thread = threading.Thread(target=another)
        thread.start()
        assert first.wait(10)
    assert libc.calls == KEPT  # the other thread goes on
    second.set()
    thread.join(10)
    assert libc.calls == KEPT + RETURNED


def test_other_c_libraries_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(allocation, "_glibc", lambda: None)
    with kept_memory():
        assert torch.ones(3).sum() == 3


def test_the_real_library_knows_the_parameters() -> None:
    libc = allocation._glibc()
    if libc is None:
        pytest.skip("this C library is not glibc")
    with kept_memory():
        assert all(libc.mallopt(*option) == 1 for option in allocation._KEEP.items())
    assert all(libc.mallopt(*option) == 1 for option in allocation._USUAL.items())


def test_training_and_scoring_keep_memory(libc: Recorder, tiny, fast, blobs) -> None:
    inside: list[list[tuple[int, ...] | str]] = []
    trainer = sv.Trainer(sv.build_model("vae", tiny), blobs, fast, "cpu")
    trainer.fit(5, progress=False, on_log=[lambda _: inside.append(list(libc.calls))])
    assert inside == [KEPT] and libc.calls == KEPT + RETURNED
    network = sv.fid.network("lenet", device="cpu")
    for score in (sv.fid.feature_statistics, sv.fid.extract_features):
        libc.calls.clear()
        score(blobs, network)
        assert libc.calls == KEPT + RETURNED
