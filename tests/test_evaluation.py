"""Evaluation: which rows there are, that they score the right images, and what is recorded."""

from __future__ import annotations

import dataclasses
import json
import warnings

import pytest
import torch
from safetensors import safe_open

import svae_lib as sv
from svae_lib import fid
from svae_lib.data import ImageSets, pad, to_float, to_uint8
from svae_lib.diagnostics import latent_statistics, split_kind
from svae_lib.experiments import evaluation
from svae_lib.experiments.checkpoints import weights_hash
from svae_lib.experiments.evaluation import Scoring, evaluate
from svae_lib.inference import decode_all, decode_batches, encode_all, reconstruct_all
from svae_lib.likelihood import fitted_gamma, likelihood_bound
from svae_lib.sampling import prior_latents


@pytest.fixture(scope="module")
def digits() -> ImageSets:
    return sv.data.load("mnist-5k")


@pytest.fixture(scope="module")
def small(digits: ImageSets) -> ImageSets:
    return dataclasses.replace(
        digits,
        train=digits.train[:200],
        train_labels=digits.train_labels[:200],
        test=digits.test[:120],
        test_labels=digits.test_labels[:120],
    )


@pytest.fixture(scope="module")
def network() -> fid.FeatureNetwork:
    return fid.network("lenet", device="cpu")


def scored(model, sets, network, batch_size: int = 100, **how):
    """What the function under test says, on a network that is loaded already."""
    return evaluate(
        model, sets, Scoring(**how), network=network, batch_size=batch_size, progress=False
    )


CONFIG = sv.ModelConfig(latent_dim=4, base_dim=4, embedding_dim=8)


@pytest.fixture(scope="module")
def split() -> sv.VAE:
    return sv.build_model("split-vae", CONFIG).eval()


@pytest.fixture(scope="module")
def result(split, small, network):
    return scored(split, small, network, mixture_components=5)


def test_rows(result, small, network) -> None:
    rows = [(row.source, row.part) for row in result.rows]
    parts = ("x", "x1", "x2", "mix")
    assert rows == [("real", "x")] + [(s, p) for s in ("REC", "prior", "mixture") for p in parts]
    vae = scored(sv.build_model("vae", CONFIG).eval(), small, network, mixture_components=5)
    assert [(r.source, r.part) for r in vae.rows[1:]] == [
        (s, "x") for s in ("REC", "prior", "mixture")
    ]
    assert vae.split is None and result.split is not None


def test_scores_are_those_of_the_images_named(result, split, small, network) -> None:
    reference = small.test
    by_hand = {
        ("REC", "x"): reconstruct_all(split, reference).x_hat,
        ("prior", "x1"): decode_all(split, prior_latents(120, 4, seed=0)).x1,
        ("prior", "x2"): decode_all(split, prior_latents(120, 4, seed=0)).x2,
    }
    for (source, part), images in by_hand.items():
        expected = fid.fid(to_uint8(images), reference, network)
        assert result.score(source, part).value == pytest.approx(expected.value, rel=1e-4)
        assert result.score(source, part).n == result.score(source, part).n_reference == 120


def test_real_images_are_training_images_drawn_by_the_seed(result, small, network) -> None:
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    expected = fid.fid(small.train[order[:120]], small.test, network)
    assert result.score("real").value == pytest.approx(expected.value, rel=1e-4)


def test_images_are_scored_as_if_they_had_been_saved(split, network) -> None:
    """Every pixel that the feature network sees is one of 256 levels."""
    seen = []

    class Recording(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return network.module(images)

    recording = dataclasses.replace(network, module=Recording())
    out = decode_all(split, torch.randn(9, 4))
    evaluation._features_by_part(out, evaluation._half(9, seed=0), recording)
    levels = 255 * torch.cat(seen)
    assert levels.shape[0] == 3 * 9 and (levels - levels.round()).abs().max() < 1e-4


def test_other_seeds_draw_other_images(split, small, network) -> None:
    """With one Gaussian the fit has no choice: what differs is what is drawn."""
    first, second = (scored(split, small, network, mixture_components=1, seed=s) for s in (1, 2))
    for source in ("real", "prior", "mixture"):
        assert first.score(source).value != second.score(source).value, source
    assert first.score("REC").value == second.score("REC").value


def test_images_to_fit_on_are_drawn_from_all_training_images(monkeypatch, small) -> None:
    monkeypatch.setattr(evaluation, "FITTED_ON", 50)
    one, same, other = (evaluation.fitting_images(small, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    rows = {image.numpy().tobytes() for image in one}
    assert len(rows) == 50 <= len(rows & {image.numpy().tobytes() for image in small.train})
    assert not rows <= {image.numpy().tobytes() for image in small.train[:100]}


def test_points_have_no_kl_divergence(small, network) -> None:
    model = sv.build_model("ae", CONFIG).eval()
    found = scored(model, small, network, mixture_components=2)
    assert found.test_kl is None and found.to_dict()["test_kl"] is None


def test_a_bound_is_of_the_test_images_with_gamma_of_the_training_images(
    result, split, small, network
) -> None:
    assert result.likelihood is None and result.to_dict()["likelihood"] is None
    options = {"mixture_components": 2, "likelihood_draws": 3, "seed": 4}
    found = scored(split, small, network, protocol="paper", **options)
    gamma = fitted_gamma(split, small.train, seed=4)
    bound = likelihood_bound(split, small.test, gamma, draws=3, seed=4, progress=False)
    assert found.likelihood is not None and found.likelihood.n == 120
    assert dataclasses.astuple(found.likelihood) == pytest.approx(dataclasses.astuple(bound))
    assert json.loads(json.dumps(found.to_dict()))["likelihood"]["draws"] == 3
    assert found.how["likelihood_draws"] == 3
    points = sv.build_model("ae", CONFIG).eval()
    assert scored(points, small, network, **options).likelihood is None


def test_mix_is_half_of_each(split, small, network) -> None:
    out = decode_all(split, torch.randn(51, 4))
    features = evaluation._features_by_part(out, evaluation._half(51, seed=0), network)
    from_x1 = (features["mix"] == features["x1"]).all(dim=1)
    from_x2 = (features["mix"] == features["x2"]).all(dim=1)
    assert (from_x1 | from_x2).all()
    assert from_x1.sum() == 25 and from_x2.sum() == 26
    assert not from_x1[:25].all()  # shuffled, not one half after the other


def test_error_and_kl_are_of_the_test_images(result, split, small) -> None:
    x = to_float(small.test)
    mse = (x - reconstruct_all(split, small.test).x_hat).square().mean().item()
    assert result.test_mse == pytest.approx(mse, rel=1e-5)
    kl = sv.kl_divergence(*encode_all(split, small.test)).mean().item()
    assert result.test_kl == pytest.approx(kl, rel=1e-5)
    latent = latent_statistics(*encode_all(split, small.test))
    torch.testing.assert_close(result.latent.law, latent.law)
    out = reconstruct_all(split, small.test)
    assert result.split == split_kind(out.sigma_map, x, out.components)


def test_every_image_is_decoded_once(split, small, network, monkeypatch) -> None:
    counts: list[int] = []

    def counted(model, z, *options):
        for out in decode_batches(model, z, *options):
            counts.append(len(out.x_hat))
            yield out

    monkeypatch.setattr(evaluation, "decode_batches", counted)
    scored(split, small, network, mixture_components=5, batch_size=50)
    sources = ("REC", "prior", "mixture")
    assert counts == [50, 50, 20] * len(sources)


def test_real_images_score_far_better_than_an_untrained_model(result) -> None:
    assert result.score("real").value < 0.2 * result.score("prior").value


def test_the_leak_has_a_name(split, small, network) -> None:
    leaking = scored(split, small, network, protocol="paper", mixture_components=5)
    assert leaking.how["protocol_in_words"].startswith("LEAKING")
    assert leaking.how["mixture_fitted_on"] == len(small.test)
    clean = scored(split, small, network, mixture_components=5)
    assert clean.how["mixture_fitted_on"] == len(small.train)
    assert clean.score("mixture").value != leaking.score("mixture").value
    assert clean.score("prior").value == leaking.score("prior").value


def test_the_record_is_json_and_says_how(result) -> None:
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert record["how"]["n"] == 120 and record["how"]["seed"] == 0
    assert {"torch", "python", "device", "scikit_learn"} <= record["how"].keys()
    assert (record["how"]["kid_subsets"], record["how"]["kid_subset_size"]) == (100, 1000)
    score = record["rows"][0]["fid"]
    assert fid.Score(**score) == result.rows[0].fid
    assert {"network", "n", "reference", "resize", "value_range"} <= score.keys()
    columns, lines = result.table()
    assert columns[2].startswith("FID (LeNet)") and len(lines) == len(result.rows)


def test_the_record_names_the_model_by_its_weights(result, split, tmp_path) -> None:
    sv.save_model(tmp_path / "m.safetensors", split)
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["svae_lib"])
    assert result.how["model_sha256"] == header["sha256"]
    other = sv.build_model("split-vae", CONFIG, seed=1)
    assert weights_hash(other) != header["sha256"] == weights_hash(split)


def test_seeded(split, small, network, result) -> None:
    again = scored(split, small, network, mixture_components=5)
    assert again.to_dict() == result.to_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 121}, "120 test images, too few for a reference of 121"),
        ({"n": 3}, "n must be at least 4"),
        ({"n": 60, "n_reference": 3}, "n_reference must be at least 4"),
        ({"reference": "train", "n_reference": 201}, "200 train images, too few"),
        ({"reference": "all"}, "reference must be 'test' or 'train'"),
        ({"reference": "train", "protocol": "paper"}, "has the test images as its reference"),
        ({"n": 60.0}, "n must be a whole number"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"second_stage_steps": -1}, "second_stage_steps must be at least 0"),
        ({"likelihood_draws": -1}, "likelihood_draws must be at least 0"),
        ({"protocol": "secret"}, "protocol must be"),
        ({"mixture_components": 201}, "too few for 201 components"),
    ],
)
def test_bad_arguments(split, small, network, arguments, message) -> None:
    with pytest.raises(sv.InputError, match=message):
        scored(split, small, network, **arguments)


@pytest.mark.parametrize("fault", ["network", "name", "training images"])
def test_what_cannot_be_scored_is_refused_before_the_work(
    fault, split, small, network, monkeypatch
) -> None:
    monkeypatch.setattr(evaluation, "encode_all", lambda *_: pytest.fail("it went to work"))
    model, sets, message = split, small, "network must be a FeatureNetwork, not 'lenet'"
    if fault == "network":
        model = sv.build_model("vae", dataclasses.replace(CONFIG, channels=3)).eval()
        message = "LeNet takes greyscale images, not 3 channels"
    elif fault == "training images":
        few, labels = small.train[:3], small.train_labels[:3]
        sets = dataclasses.replace(small, train=few, train_labels=labels)
        message = "3 training images are too few"
    with pytest.raises(sv.InputError, match=message):
        scored(model, sets, "lenet" if fault == "name" else network)


def test_the_reference_may_be_the_training_images(split, small, network) -> None:
    result = scored(
        split, small, network, n=150, reference="train", n_reference=180, mixture_components=5
    )
    assert (result.how["reference"], result.how["n"], result.how["n_reference"]) == (
        "train",
        150,
        180,
    )
    for source, n in (("REC", 120), ("prior", 150), ("mixture", 150), ("real", 120)):
        score = result.score(source)  # of 120 test images no more can be taken
        assert (score.n, score.n_reference) == (n, 180), source
        assert score.reference.endswith("training images")
    by_hand = fid.fid(small.test, small.train[:180], network)
    assert result.score("real").value == pytest.approx(by_hand.value, rel=1e-4)


def test_the_mixture_that_was_scored_is_at_hand(result, split, small, network) -> None:
    drawn = decode_all(split, result.mixture.sample(120, seed=0)).x_hat
    expected = fid.fid(to_uint8(drawn), small.test, network)
    assert result.score("mixture").value == pytest.approx(expected.value, rel=1e-4)


def test_every_metric_of_a_row_is_at_hand(result) -> None:
    row = next(row for row in result.rows if (row.source, row.part) == ("prior", "x1"))
    for metric in ("fid", "kid", "precision", "recall"):
        assert result.score("prior", "x1", metric) is getattr(row, metric)
    with pytest.raises(sv.InputError, match="metric must be one of fid, kid, precision, recall"):
        result.score("prior", "x1", "source")


def test_a_models_images_are_made_with_all_bits_of_float32(small, network) -> None:
    new = hasattr(torch.backends, "fp32_precision")  # PyTorch 2.9
    part = torch.backends.cudnn.conv if new else torch.backends.cudnn
    name, fast = ("fp32_precision", "tf32") if new else ("allow_tf32", True)
    was = getattr(part, name)
    setattr(part, name, fast)
    model, rounded = sv.build_model("vae", CONFIG).eval(), []
    for layer in (model.encoder, model.decoder):
        layer.register_forward_hook(lambda *_: rounded.append(getattr(part, name) == fast))
    try:
        scored(model, small, network, mixture_components=2, likelihood_draws=1)
    finally:
        setattr(part, name, was)
    assert rounded and not any(rounded)


def test_a_reference_sorted_by_class_is_warned_of(small, network) -> None:
    order = small.test_labels.argsort(stable=True)
    by_class = dataclasses.replace(
        small, test=small.test[order], test_labels=small.test_labels[order]
    )
    model = sv.build_model("vae", CONFIG).eval()
    options = {"mixture_components": 2}
    with pytest.warns(UserWarning, match="sorted by class") as told:
        scored(model, by_class, network, n=60, **options)
    sorted_ones = next(w for w in told if "sorted by class" in str(w.message))
    assert sorted_ones.filename == __file__  # where it was called
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the test images are sorted")
        scored(model, by_class, network, **options)  # all of them: the order does not matter
        scored(model, small, network, n=60, **options)


def test_labels_may_be_factors_instead_of_classes(small, network) -> None:
    factors = dataclasses.replace(
        small, train_labels=torch.rand(200, 3), test_labels=torch.rand(120, 3).sort(dim=0).values
    )
    model = sv.build_model("vae", CONFIG).eval()
    assert scored(model, factors, network, n=10, mixture_components=2).how["n"] == 10


def test_a_class_of_ones_own_is_scored_under_its_name(small, network) -> None:
    class Mine(sv.VAE):
        pass

    result = scored(Mine(CONFIG).eval(), small, network, n=4, mixture_components=2)
    assert result.how["model"] == "Mine" and result.how["n"] == 4


def test_data_of_another_size(small, network) -> None:
    model = sv.build_model("vae", dataclasses.replace(CONFIG, image_size=64)).eval()
    with pytest.raises(sv.InputError, match="64x64 pixels, not 32x32"):
        scored(model, small, network)
    with pytest.raises(sv.InputError, match="no row REC/x3"):
        scored(sv.build_model("vae", CONFIG).eval(), small, network, mixture_components=2).score(
            "REC", "x3"
        )
    assert pad(torch.zeros(1, 1, 28, 28, dtype=torch.uint8), 2).shape[-1] == 32


def test_features_beyond_kids_share_are_not_held(monkeypatch, network) -> None:
    """Memory that does not grow with the images: statistics of all, features of the first."""
    monkeypatch.setattr(evaluation, "KEPT", 30)
    features = torch.rand(100, network.dim, generator=torch.Generator().manual_seed(0))
    found = evaluation.Features(network)
    for batch in features.split(20):
        found.add(batch)
    assert torch.equal(found.kept, features[:30])
    assert found.statistics.n == 100
    torch.testing.assert_close(found.statistics.mean, features.double().mean(dim=0))
    torch.testing.assert_close(found.statistics.covariance, features.double().T.cov())


def test_the_mixture_is_fitted_on_a_share_of_a_large_set(
    monkeypatch, split, small, network
) -> None:
    monkeypatch.setattr(evaluation, "FITTED_ON", 50)
    result = scored(split, small, network, mixture_components=5)
    assert result.how["mixture_fitted_on"] == 50
    assert len(small.train) == 200


def test_batches_of_no_image_are_refused_by_name(tiny: sv.ModelConfig, blobs: torch.Tensor) -> None:
    model = sv.build_model("vae", tiny).eval()
    for call in (
        lambda: encode_all(model, blobs, batch_size=0),
        lambda: decode_all(model, torch.zeros(2, 3), batch_size=-1),
    ):
        with pytest.raises(sv.InputError, match="batch_size must be at least 1"):
            call()


def test_of_a_split_into_three_no_map_is_taken_for_all(small, network) -> None:
    config = dataclasses.replace(CONFIG, components=3)
    model = sv.build_model("split-vae", config).eval()
    assert scored(model, small, network, mixture_components=2, n=100).split is None
