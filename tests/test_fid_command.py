"""``svae fid``: two folders of pictures of mixed sizes, scored from the shell."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svae_lib import InputError, fid
from svae_lib.cli import main
from svae_lib.data import to_float
from svae_lib.data.folder import Pictures

SIZES = ((20, 31), (40, 28), (32, 32), (28, 28))


def draw(folder: Path, count: int, seed: int) -> list[np.ndarray]:
    """Grey pictures of four sizes, every other in a folder of its own; what is in their files."""
    random = np.random.default_rng(seed)
    pixels = [random.integers(0, 256, SIZES[i % 4], dtype=np.uint8) for i in range(count)]
    for i, picture in enumerate(pixels):
        path = folder / ("below" if i % 2 else "") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    (folder / ".hidden.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture")
    return pixels


def test_mixed_sizes_score_as_the_network_sees_each_picture(tmp_path: Path, capsys) -> None:
    network = fid.network("lenet-mnist", device="cpu")
    features = [
        torch.cat([network(to_float(torch.from_numpy(p)[None, None])) for p in pixels])
        for pixels in (draw(tmp_path / "a", 12, 0), draw(tmp_path / "b", 16, 1))
    ]
    with pytest.warns(UserWarning, match="singular"):
        expected = fid.fid(*features, network)
        options = ["--features", "lenet-mnist", "--device", "cpu"]
        assert main(["fid", str(tmp_path / "a"), str(tmp_path / "b"), *options]) == 0
    told, kid = capsys.readouterr().out.splitlines()
    assert float(re.findall(r"= (\S+)", told)[0]) == pytest.approx(expected.value, rel=1e-3)
    for line in (told, kid):
        assert "(LeNet)" in line and "resize" in line and "12 images against 16" in line
    assert "+/-" in kid


def test_pictures_come_in_batches_of_one_size_however_many_sizes(tmp_path: Path) -> None:
    drawn = draw(tmp_path, 22, 0)
    batches = list(Pictures(tmp_path, batch_size=2).batches(1))
    assert max(map(len, batches)) == 2
    found = sorted(picture.numpy().tobytes() for batch in batches for picture in batch)
    assert found == sorted(picture.tobytes() for picture in drawn)
    for size in range(9, 30):  # each alone in its size: they cannot all be held
        Image.new("RGB", (size, 8), "red").save(tmp_path / f"red-{size}.png")
    pictures = Pictures(tmp_path, batch_size=2, seed=1)
    shapes = [tuple(batch.shape[1:]) for batch in pictures.batches(3)]
    assert len(pictures) == 43 and {shape[0] for shape in shapes} == {3}
    assert len(set(shapes)) == 21 + len(SIZES)


def test_the_seed_decides_the_order_alone(tmp_path: Path) -> None:
    draw(tmp_path, 12, 0)
    one, same, other = (
        [p.numpy().tobytes() for batch in Pictures(tmp_path, seed=seed).batches(1) for p in batch]
        for seed in (0, 0, 1)
    )
    assert one == same != other and sorted(one) == sorted(other)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "nowhere"], "nowhere is not a folder"),
        (["a", "few"], "few holds 3"),
        (["a", "broken"], "bad.png"),
        (["a", "a", "--features", "resnet"], "inception"),
        (["a", "a", "--features", "inception", "--weights", "none.pth"], "none.pth"),
        # before the network, which may be a download
        (["a", "nowhere", "--features", "inception", "--weights", "none.pth"], "nowhere"),
        (["a", "a", "--seed", "-1"], "seed"),
        (["a"], "required"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, monkeypatch, capsys, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count in (("a", 5), ("few", 3), ("broken", 4)):
        draw(Path(name), count, 0)
    Path("broken/bad.png").write_bytes(b"\x89PNG and no more")
    given = [] if "--features" in arguments else ["--features", "lenet-mnist"]
    assert main(["fid", *arguments, *given]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("svae: ") and words in error.lower()


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(InputError, match=r"bad\.png"):
        list(Pictures(tmp_path).batches(3))


def test_large_pictures_do_not_wait_for_a_full_batch(tmp_path: Path) -> None:
    for i in range(6):
        Image.fromarray(np.full((2000, 2000), i, np.uint8)).save(tmp_path / f"{i}.png")
    batches = list(Pictures(tmp_path).batches(channels=1))
    assert sorted(int(p[0, 0, 0]) for batch in batches for p in batch) == [0, 1, 2, 3, 4, 5]
    assert max(batch.numel() for batch in batches) <= 2**24 + 2000**2 and len(batches) == 2
