"""The authors' HDF5 files: read where they fit, refused in one sentence where they do not."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import svae_lib as sv

FILE = Path(__file__).parent / "reference" / "mnist_small.hdf5"


def fresh() -> sv.SplitVAE:
    """A model that the file fits."""
    return sv.SplitVAE(sv.ModelConfig(base_dim=8, embedding_dim=48)).eval()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the file, to be changed."""
    path = tmp_path / "copy.hdf5"
    path.write_bytes(FILE.read_bytes())
    return path


def weights_of(path: Path, kind: str = "conv2d") -> list[str]:
    """Full names of the kernels of a kind of layer."""
    found: list[str] = []
    with h5py.File(path) as file:
        file.visit(lambda name: found.append(name) if f"/{kind}_" in name else None)
    return [name for name in found if name.endswith("kernel:0")]


def test_a_file_of_another_size_is_refused_and_changes_nothing() -> None:
    model = sv.SplitVAE(sv.ModelConfig(base_dim=4, embedding_dim=48))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(sv.InputError, match=r"conv2d .*\(8, 1, 3, 3\).*\(4, 1, 3, 3\)"):
        sv.load_keras_weights(model, FILE)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_missing_layer_is_told(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        del file["model_3"]["conv2d_22"]
    with pytest.raises(sv.InputError, match="layers of kind conv2d where the model has"):
        sv.load_keras_weights(fresh(), copy)


def test_numbers_may_start_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "later.hdf5"
    with h5py.File(FILE) as old, h5py.File(path, "w") as new:
        for group in ("model", "model_1", "model_3"):
            for layer in old[group]:
                kind, _, number = layer.rpartition("_")
                kind, number = (kind, int(number)) if number.isdigit() else (layer, 0)
                old.copy(old[group][layer], new, f"{group}/{kind}_{number + 95}")
    expected, found = fresh(), fresh()
    sv.load_keras_weights(expected, FILE)
    sv.load_keras_weights(found, path)
    assert all(torch.equal(v, found.state_dict()[k]) for k, v in expected.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all"])
def test_what_is_no_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.hdf5").write_bytes(content)
    with pytest.raises(sv.InputError, match="HDF5"):
        sv.load_keras_weights(fresh(), tmp_path / "w.hdf5")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.hdf5", tmp_path):
        with pytest.raises(sv.InputError, match="does not exist or is not a file"):
            sv.load_keras_weights(fresh(), path)


def test_a_file_in_the_layout_of_keras_3_is_told_as_such(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "k.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 1, 64))
    with pytest.raises(sv.InputError, match="Keras 3"):
        sv.load_keras_weights(fresh(), tmp_path / "k.weights.h5")


# ---------------------------------------------------------------- files from a stranger


def virtual(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("elsewhere.hdf5", "secret", shape)
    file.create_virtual_dataset(name, layout)


def external(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    file.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def link(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    file[name] = h5py.ExternalLink("elsewhere.hdf5", "secret")


def text(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    file.create_dataset(name, shape, h5py.string_dtype())


def whole_numbers(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    file.create_dataset(name, shape, "i8")


def huge(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    file.create_dataset(name, (1 << 20, *shape[1:3], 1 << 30), "f4", chunks=(1, 1, 1, 64))


def twice(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    file[name] = file["again/" + name] = np.zeros(shape, "f4")


@pytest.mark.parametrize(
    ("put", "noun"),
    [
        (virtual, "another file"),
        (external, "another file"),
        (link, "lacks kernel"),
        (text, "not floats"),
        (whole_numbers, "not floats"),
        (huge, "does not fit"),
        (twice, "twice"),
    ],
)
def test_weights_that_are_not_in_the_file_as_floats_are_refused(copy: Path, put, noun: str) -> None:
    (copy.parent / "secret.txt").write_text("not yours")
    name = weights_of(copy)[0]
    with h5py.File(copy, "r+") as file:
        shape = file[name].shape
        del file[name]
        put(file, name, shape)
    model = fresh()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(sv.InputError, match=noun):
        sv.load_keras_weights(model, copy)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_odd_names_are_no_layers(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        for name in ("conv2d_" + "9" * 5000, "conv2d_\u0663", b"conv2d_\xff", "conv2d_-1"):
            file.create_group(name).create_dataset("kernel:0", (1,), "f4")
    model, expected = fresh(), fresh()
    sv.load_keras_weights(model, copy)
    sv.load_keras_weights(expected, FILE)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in expected.state_dict().items())


def test_damaged_data_are_told(copy: Path) -> None:
    content = copy.read_bytes()
    copy.write_bytes(content[: len(content) // 2])
    with pytest.raises(sv.InputError, match="HDF5"):
        sv.load_keras_weights(fresh(), copy)


def test_the_path_may_begin_at_home(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(copy.parent))
    monkeypatch.setenv("USERPROFILE", str(copy.parent))
    sv.load_keras_weights(fresh(), "~/copy.hdf5")
