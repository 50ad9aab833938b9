"""CelebA from stand-in photographs: crop, order, splits, layouts and advice."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from svae_lib.data import celeba, download
from svae_lib.data.celeba import load_celeba
from svae_lib.support.checks import InputError

COUNT, VALID, TEST = 20, 12, 15


def jpeg(number: int) -> bytes:
    """A photograph whose crop has the grey level 10 * number, with a white margin around."""
    image = np.full((218, 178, 3), 255, np.uint8)
    image[45:173, 25:153] = 10 * number
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture
def photographs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Twenty files out of order; the module's counts are made to fit them."""
    monkeypatch.delenv("SVAE_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "ROUNDS", 1)
    monkeypatch.setattr(celeba, "COUNT", COUNT)
    monkeypatch.setattr(celeba, "VALID_START", VALID)
    monkeypatch.setattr(celeba, "TEST_START", TEST)
    for module in (celeba, download):
        monkeypatch.setattr(module, "cache_folder", lambda name: tmp_path / "cache" / name)
    order = np.random.default_rng(0).permutation(COUNT)
    return {f"{number + 1:06}.jpg": jpeg(number) for number in order}


def place(root: Path, photographs: dict[str, bytes], layout: str) -> None:
    path = root / layout
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("img_align_celeba/", b"")
            for name, content in photographs.items():
                archive.writestr(f"img_align_celeba/{name}".replace("\udce9", "x"), content)
        return
    path.mkdir()
    for name, content in photographs.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)


def test_names_in_the_zip_need_not_be_utf_8(photographs: dict[str, bytes], tmp_path: Path) -> None:
    photographs["cafe.txt"] = b"another encoding"
    place(tmp_path, photographs, "img_align_celeba.zip")
    path = tmp_path / "img_align_celeba.zip"
    content = path.read_bytes().replace(b"cafe.txt", b"caf\xe9.txt")
    path.write_bytes(content)
    assert levels(load_celeba(tmp_path).train) == list(range(VALID))


def test_a_zip_with_damaged_names(photographs: dict[str, bytes], tmp_path: Path) -> None:
    place(tmp_path, photographs | {"é.txt": b"said to be UTF-8"}, "img_align_celeba.zip")
    path = tmp_path / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match="is damaged"):
        load_celeba(tmp_path)


def levels(images: torch.Tensor) -> list[int]:
    """The number of each photograph, from the grey level in the middle of its crop."""
    return [round(float(image[:, 8:-8, 8:-8].float().mean()) / 10) for image in images]


@pytest.mark.parametrize(
    "layout",
    [
        "img_align_celeba.zip",
        "img_align_celeba",
        "celeba/img_align_celeba",
        "img_align_celeba/img_align_celeba",
        "CelebA/Img/img_align_celeba.zip",
    ],
)
def test_layouts(photographs: dict[str, bytes], tmp_path: Path, layout: str) -> None:
    photographs["000003.JPG"] = photographs.pop("000003.jpg")
    for name in ("._000001.jpg", ".DS_Store", "__MACOSX/._000001.jpg", "caf\udce9.txt"):
        photographs[name] = b"what systems add"
    root = tmp_path / "mine"
    place(root, photographs, layout)
    sets = load_celeba(root)
    assert sets.train.shape == (VALID, 3, 64, 64)
    assert sets.test.shape == (COUNT - TEST, 3, 64, 64)
    assert levels(sets.train) == list(range(VALID))
    assert levels(sets.test) == list(range(TEST, COUNT))
    assert sets.train_labels.tolist() == [0] * VALID
    assert sets.train[0].max() < 40  # nothing of the white margin


def test_root_may_be_the_folder_itself(photographs: dict[str, bytes], tmp_path: Path) -> None:
    place(tmp_path, photographs, "img_align_celeba")
    assert len(load_celeba(tmp_path / "img_align_celeba").train) == VALID


def test_published_split() -> None:
    # list_eval_partition.txt: 162,770 train, 19,867 valid, 19,962 test
    assert celeba.VALID_START == 162_770
    assert celeba.TEST_START - celeba.VALID_START == 19_867
    assert celeba.COUNT - celeba.TEST_START == 19_962


def test_incomplete_folder(photographs: dict[str, bytes], tmp_path: Path) -> None:
    photographs.popitem()
    place(tmp_path, photographs, "img_align_celeba")
    with pytest.raises(InputError, match=r"19 \.jpg files instead of 20"):
        load_celeba(tmp_path)


def test_broken_photograph(photographs: dict[str, bytes], tmp_path: Path) -> None:
    photographs["000006.jpg"] = photographs["000006.jpg"][:300]
    place(tmp_path, photographs, "img_align_celeba.zip")
    with pytest.raises(InputError, match=r"000006\.jpg is broken"):
        load_celeba(tmp_path)


def test_web_page_instead_of_the_zip(photographs: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "img_align_celeba.zip").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(InputError, match=celeba.ARCHIVE.digest):
        load_celeba(tmp_path)


def test_offline_offers_the_toy_faces(
    photographs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celeba, "ARCHIVE", replace(celeba.ARCHIVE, urls=("http://127.0.0.1:9/",)))
    with pytest.raises(InputError) as caught:
        load_celeba()
    for part in ("toy-faces", "img_align_celeba.zip", celeba.ARCHIVE.digest, "mmlab"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=f"{celeba.ARCHIVE.digest}.*toy-faces"):
        load_celeba(tmp_path)
