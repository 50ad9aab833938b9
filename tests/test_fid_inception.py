"""Parity with pytorch-fid on the same files and weights, and how the weights are found.

The genuine weights (91 MB) are not needed: random ones in their format do as well for parity.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid import inception as original
from torch import Tensor, nn

from svae_lib.data import download
from svae_lib.fid import FeatureNetwork, extract_features, fid, frechet_distance, imagenet, network
from svae_lib.support.checks import InputError

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as pytorch-fid distributes it, with random weights that keep signals alive."""
    torch.manual_seed(0)
    net = imagenet.build_inception()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def png_folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders of small photographs-like PNG files, of different statistics."""
    folders = []
    for k, smooth in enumerate((8, 16)):
        rng = np.random.default_rng(k)
        folder = tmp_path_factory.mktemp(f"images{k}")
        for i in range(4):
            coarse = rng.integers(0, 256, (smooth, smooth, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((40, 32)).save(folder / f"{i:02d}.png")
        folders.append(folder)
    return folders


@pytest.fixture(scope="session")
def net(random_weights: Path) -> FeatureNetwork:
    return imagenet.load_inception(random_weights, CPU, genuine=False)


def read(folder: Path) -> Tensor:
    arrays = [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


@pytest.fixture(scope="session")
def theirs(random_weights: Path) -> nn.Module:
    """pytorch-fid's own network with the same weights, in place of those it would download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            original,
            "load_state_dict_from_url",
            lambda *_, **__: torch.load(random_weights, weights_only=True),
        )
        return original.InceptionV3([3])


def test_features_and_score_equal_pytorch_fid(
    net: FeatureNetwork, theirs: nn.Module, png_folders: list[Path]
) -> None:
    expected, ours = [], []
    for folder in png_folders:
        files = sorted(folder.glob("*.png"))
        expected.append(fid_score.get_activations(files, theirs, batch_size=3, num_workers=0))
        ours.append(extract_features(read(folder), net, batch_size=2))
        scale = np.abs(expected[-1]).mean()
        assert scale > 0
        assert np.abs(ours[-1].numpy() - expected[-1]).max() < 1e-4 * scale
    with pytest.warns(UserWarning, match="4 images and 2048 features"):
        score = fid(*ours, net)
    assert score.metric == "FID (Inception, other weights)"
    # Eight images span at most 8 of the 2048 dimensions. Turning the axes into that span changes no
    # distance, and spares pytorch-fid a matrix square root of 2048 x 2048 (most of a minute).
    span = np.linalg.qr(np.concatenate(expected).T)[0]
    turned = [x @ span for x in expected]
    statistics = [y for x in turned for y in (x.mean(axis=0), np.cov(x, rowvar=False))]
    assert score.value == pytest.approx(frechet_distance(*statistics), rel=1e-3)
    try:
        value = fid_score.calculate_frechet_distance(*statistics)
    except TypeError as error:
        pytest.skip(f"pytorch-fid's distance does not run with this SciPy: {error}")
    assert score.value == pytest.approx(value, rel=1e-3)


def test_the_expected_hash_begins_as_the_file_name_says() -> None:
    prefix = Path(imagenet.INCEPTION.urls[0]).stem.split("-")[-1]
    assert imagenet.INCEPTION.digest.startswith(prefix)
    assert imagenet.INCEPTION.urls == (original.FID_WEIGHTS_URL,)
    assert imagenet.INCEPTION.name == Path(original.FID_WEIGHTS_URL).name


def test_a_wrong_file_is_refused(random_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"random\.pth is not Inception's weights, or damaged: its SHA-256"
    ):
        network("inception", weights=random_weights, device="cpu")
    (tmp_path / "file.pth").write_bytes(b"<html>quota")
    with pytest.raises(InputError, match="or damaged"):
        network("inception", weights=tmp_path / "file.pth", device="cpu")
    with pytest.raises(InputError, match="do not exist"):
        network("inception", weights=tmp_path / "none.pth", device="cpu")


@pytest.fixture
def genuine_hash(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> imagenet.RemoteFile:
    """Pretend that the random weights are the genuine ones, and that no cache holds them."""
    digest = download.file_hash(random_weights, "sha256")
    wanted = replace(imagenet.INCEPTION, digest=digest, urls=("http://127.0.0.1:9/none.pth",))
    monkeypatch.setattr(imagenet, "INCEPTION", wanted)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv(imagenet.VARIABLE, raising=False)
    return wanted


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ROUNDS", 1)


def test_weights_are_found_by_variable_and_in_the_hub_cache(
    genuine_hash: imagenet.RemoteFile,
    random_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached = tmp_path / "hub" / "checkpoints" / genuine_hash.name
    cached.parent.mkdir(parents=True)
    cached.symlink_to(random_weights)
    net = network("inception", device="cpu")
    assert (net.name, net.weights_hash) == ("Inception", genuine_hash.digest)
    monkeypatch.setenv(imagenet.VARIABLE, str(tmp_path / "missing.pth"))
    with pytest.raises(InputError, match=r"Inception's weights .*missing\.pth do not exist"):
        network("inception", device="cpu")
    cached.unlink()
    monkeypatch.setenv(imagenet.VARIABLE, str(random_weights))
    assert network("inception", device="cpu").weights == genuine_hash.name


def test_offline_one_sentence_says_what_to_put_where(
    genuine_hash: imagenet.RemoteFile, impatient: None, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        network("inception", device="cpu")
    message = str(caught.value)
    for part in (genuine_hash.urls[0], genuine_hash.digest, str(tmp_path / "hub"), "lenet"):
        assert part in message
    assert "SVAE_INCEPTION" in message
    assert not list((tmp_path / "hub").rglob("*.pth"))


def test_weights_are_downloaded_once(
    genuine_hash: imagenet.RemoteFile,
    random_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[str] = []

    def deliver(file: imagenet.RemoteFile, url: str, target: Path) -> None:
        fetched.append(url)
        target.symlink_to(random_weights)

    monkeypatch.setattr(download, "_deliver", deliver)
    for _ in range(2):
        assert network("inception", device="cpu").weights_hash == genuine_hash.digest
    assert fetched == list(genuine_hash.urls)
    assert (tmp_path / "hub" / "checkpoints" / genuine_hash.name).is_file()
