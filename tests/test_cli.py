"""The command line, as a person uses it, on the smallest settings."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

from svae_lib import PRESETS, InputError, ModelConfig, Preset, TrainConfig, __version__, data
from svae_lib.cli import main, pictures, train
from svae_lib.data import folder as folders
from svae_lib.experiments import claim, evaluation, tables
from svae_lib.experiments.report import Subject, contents
from svae_lib.experiments.runs import Run
from svae_lib.experiments.scoring import Scoring
from svae_lib.inference import encode_all
from svae_lib.support.distributed import Processes

TINY = [
    "--model.base-dim=2",
    "--model.latent-dim=3",
    "--model.embedding-dim=4",
    "--train.steps=6",
    "--train.batch-size=20",
    "--train.log-every=2",
]

TINY_SCORING = Scoring("lenet", mixture_components=2, n=60)


@pytest.fixture(autouse=True)
def few_images_to_fit_on(monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "FITTED_ON", 300)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "a"
    assert main(["train", "--out", str(folder), "--device", "cpu", *TINY]) == 0
    return folder


def test_train_takes_preset_and_options(run: Path) -> None:
    settings = json.loads((run / "run.json").read_text())
    assert settings["kind"] == "split-vae" and settings["data"] == "mnist-5k"
    assert settings["model"]["base_dim"] == 2 and settings["train"]["steps"] == 6
    assert settings["train"]["learning_rate"] == 3e-3  # of the preset "quick"


def test_another_preset_gives_other_defaults(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    options = ["--preset", "mnist", "--data", "mnist-5k", "--kind", "vae", *TINY]
    assert main(["train", "--out", str(folder), *options]) == 0
    settings = json.loads((folder / "run.json").read_text())
    assert settings["train"]["beta"] == 8.0 and settings["kind"] == "vae"


def test_train_refuses_an_existing_folder(run: Path, capsys) -> None:
    before = {p: p.read_bytes() for p in run.iterdir()}
    assert main(["train", "--out", str(run), *TINY]) == 2
    error = capsys.readouterr().err
    assert "exists already" in error and error.count("\n") == 1
    assert {p: p.read_bytes() for p in run.iterdir()} == before


def test_resume_of_a_finished_run_changes_nothing(run: Path, capsys) -> None:
    assert main(["train", "--resume", str(run)]) == 0
    assert "6 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--train.steps", "12"],
        ["--model.latent-dim", "8"],
        ["--kind", "vae"],
        ["--data", "toy-faces"],
        ["--held-out", "10"],
        ["--preset", "mnist"],
        ["--preset", "compact"],  # of the same data
    ],
)
def test_resume_refuses_settings_that_it_would_ignore(
    run: Path, options: list[str], capsys
) -> None:
    assert main(["train", "--resume", str(run), *options]) == 2
    assert "--train.accumulate alone" in capsys.readouterr().err


def test_resume_takes_finer_parts_and_what_the_run_has_anyway(run: Path) -> None:
    options = ["--train.accumulate", "2", "--kind", "split-vae", "--data", "mnist-5k"]
    assert main(["train", "--resume", str(run), *options]) == 0


def test_processes_that_cannot_share_a_batch_leave_no_folder(tmp_path: Path) -> None:
    images, three = data.load("mnist-5k").train, Processes(torch.device("cpu"), 0, 3)
    new = train.Train(out=tmp_path / "new", train=TrainConfig(batch_size=20))
    with pytest.raises(InputError, match="shared evenly by 3 processes"):
        new._new("mnist-5k", images, three)
    assert not (tmp_path / "new").exists()


def test_version(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"svae_lib {__version__}\n"


def test_help_is_free_of_markup(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "svae info" in said and "``" not in said and ":class:" not in said


def test_train_shows_what_it_does(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "watched"
    options = [*TINY, "--train.log-every", "2", "--held-out", "100", "--checkpoint-every", "2"]
    assert main(["train", "--out", str(folder), "--samples-every", "4", *options]) == 0
    assert {path.name for path in (folder / "samples").iterdir()} == {
        "samples-4.png",
        "samples-6.png",
    }
    entries = json.loads((folder / "validation.json").read_text())
    assert {entry["step"] for entry in entries} == {2, 4, 6}
    assert json.loads((folder / "run.json").read_text())["held_out"] == 100


def test_a_refused_option_leaves_no_folder_behind(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "none"
    assert main(["train", "--out", str(folder), "--samples-every", "0", *TINY]) == 2
    assert capsys.readouterr().err.startswith("svae: samples_every must be at least 1")
    assert not folder.exists()


def test_evaluate_prints_a_table_and_never_overwrites_unasked(run: Path, capsys) -> None:
    options = ["--n", "70", "--mixture-components", "2"]
    assert main(["evaluate", str(run), *options]) == 0
    said = capsys.readouterr().out
    assert "FID (LeNet)" in said and "mixture" in said and "latent variables are active" in said
    path = run / "evaluation-clean-lenet-mnist-5k.json"
    scores = json.loads(path.read_text())
    assert scores["how"]["n"] == 70
    assert scores["how"]["steps_taken"] == scores["how"]["steps"] == 6
    assert "steps taken: 6 of 6" in said
    path.write_text("kept")
    assert main(["evaluate", str(run), *options]) == 2
    assert path.read_text() == "kept"
    assert main(["evaluate", str(run), *options, "--overwrite"]) == 0
    assert json.loads(path.read_text()) == scores
    more = ["--protocol", "paper", "--second-stage-steps", "3", "--likelihood-draws", "2"]
    assert main(["evaluate", str(run), *options, *more]) == 0
    said = capsys.readouterr().out
    assert "LEAKING" in said and "bits per dimension; 2 draws, 70 images" in said
    scores = json.loads((run / "evaluation-paper-lenet-mnist-5k.json").read_text())
    assert scores["how"]["second_stage_steps"] == 3
    assert {row["source"] for row in scores["rows"]} >= {"REC", "prior", "mixture", "two-stage"}


def test_reproduce_takes_the_name_of_a_table(tmp_path: Path, monkeypatch, capsys) -> None:
    model = ModelConfig(latent_dim=3, base_dim=2, embedding_dim=4)
    preset = Preset("mnist-5k", model, TrainConfig(steps=2, batch_size=20), "a test")
    monkeypatch.setitem(PRESETS, "tiny", preset)
    monkeypatch.setitem(
        tables.TABLES,
        "tiny",
        tables.Table("tiny", (tables.Variant("vae"),), (0,), TINY_SCORING),
    )
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "tiny", "--device", "cpu"]) == 0
    assert "results/tiny.json" in capsys.readouterr().out
    assert len(tables.read_table(tmp_path / "results" / "tiny.json")["cells"]) == 1
    for wrong, message in (([], "required"), (["--table", "tiny"], ""), (["tny"], "mnist-5k")):
        assert main(["reproduce", *wrong]) == 2
        error = capsys.readouterr().err
        assert message in error.lower() and error.count("\n") == 1


def test_splits_trains_and_tests_the_claim(tmp_path: Path, monkeypatch, capsys) -> None:
    model = ModelConfig(latent_dim=3, base_dim=2, embedding_dim=4)
    preset = Preset("mnist-5k", model, TrainConfig(steps=2, batch_size=20), "a test")
    variants = tuple(tables.Variant("split-vae", beta=beta) for beta in (1.0, 4.0))
    monkeypatch.setitem(tables.TABLES, "splits", tables.Table(preset, variants, (0,), TINY_SCORING))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claim, "died", lambda cell: False)  # after two steps nothing lives
    assert main(["splits", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "sign test" in said and "prior" in said and "mixture" in said
    record = tables.read_table(tmp_path / "results" / "splits.json")
    assert [cell["beta"] for cell in record["cells"]] == [1.0, 4.0]


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "run", "--out", "there"],
        ["reconstruct", "run", "--out", "there"],
    ],
)
def test_what_is_there_already_is_refused_before_any_work(
    run: Path, command: list[str], tmp_path: Path, monkeypatch, capsys
) -> None:
    def never(*arguments, **options):
        raise AssertionError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "load_model", never)
    Path("there").write_text("kept")
    assert main([str(run) if word == "run" else word for word in command]) == 2
    assert "there exists already" in capsys.readouterr().err
    assert Path("there").read_text() == "kept"


@pytest.mark.parametrize("source", ["prior", "mixture"])
def test_sample(run: Path, tmp_path: Path, source: str) -> None:
    out = tmp_path / "s.png"
    options = ["--n", "9", "--source", source]
    assert main(["sample", str(run), "--out", str(out), *options]) == 0
    with Image.open(out) as picture:
        assert picture.size[0] > 100
    assert main(["sample", str(run), "--out", str(out), *options]) == 2


def test_samples_come_from_the_mixture_that_is_scored(
    run: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(evaluation, "FITTED_ON", 30)  # of the 4,000 training images
    encoded = []

    def watched(model, images, *options):
        encoded.append(images)
        return encode_all(model, images, *options)

    monkeypatch.setattr(pictures, "encode_all", watched)
    monkeypatch.setattr(Scoring, "components", lambda self, sets: 2)
    options = ["--n", "2", "--source", "mixture", "--seed", "1"]
    assert main(["sample", str(run), "--out", str(tmp_path / "a.png"), *options]) == 0
    assert torch.equal(encoded[0], evaluation.fitting_images(data.load("mnist-5k"), seed=1))
    assert len(encoded[0]) == 30


@pytest.mark.parametrize("seed", ["-1", "9999999999"])
def test_seeds_that_cannot_be_are_refused(run: Path, tmp_path: Path, seed: str, capsys) -> None:
    sample = ["sample", "--source", "mixture", "--out", str(tmp_path / "x.png")]
    for command in (sample, ["evaluate", "--overwrite"]):
        assert main([*command, str(run), "--seed", seed]) == 2
        assert "seed must be" in capsys.readouterr().err


def test_the_home_folder_may_be_a_tilde(run: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(run.parent))
    monkeypatch.setenv("USERPROFILE", str(run.parent))
    monkeypatch.chdir(tmp_path)
    assert main(["sample", f"~/{run.name}", "--out=~/here.png", "--n", "2"]) == 0
    assert (run.parent / "here.png").is_file() and not any(tmp_path.iterdir())
    assert main(["train", f"--resume=~/{run.name}"]) == 0
    assert main(["train", "--out=~nobody-of-this-name/x", *TINY]) == 2
    assert "home folder" in capsys.readouterr().err


def test_reconstruct(run: Path, tmp_path: Path) -> None:
    assert main(["reconstruct", str(run), "--out", str(tmp_path / "r.png"), "--n", "4"]) == 0
    assert (tmp_path / "r.png").stat().st_size > 1000


@pytest.mark.parametrize("command", ["reconstruct", "sample"])
@pytest.mark.parametrize("n", ["0", "-3"])
def test_no_picture_of_fewer_than_one_image(run: Path, tmp_path, capsys, command, n) -> None:
    assert main([command, str(run), "--out", str(tmp_path / "r.png"), f"--n={n}"]) == 2
    assert capsys.readouterr().err.startswith("svae: n must be at least 1")


def test_info(run: Path, capsys) -> None:
    assert main(["info", str(run)]) == 0
    said = capsys.readouterr().out
    assert "SplitVAE" in said and "trainable parameters" in said and "latent_dim: 3" in said
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert "mnist-5k" in said and "folder:PATH" in said and "preset quick" in said


def test_info_on_a_run_without_a_model_says_what_to_do(tmp_path: Path, capsys) -> None:
    Run.create(tmp_path / "new", "vae", "mnist-5k", ModelConfig(), TrainConfig())
    assert main(["info", str(tmp_path / "new")]) == 2
    assert "svae train --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "give either --out"),
        (["train", "--out", "x", "--preset", "tiny"], "unknown preset 'tiny'"),
        (["train", "--out", "x", "--data", "mnist5k"], "mnist-5k"),
        (
            ["train", "--out", "x", "--kind", "gan"],
            "unknown kind of model 'gan'",
        ),
        (["train", "--out", "x", "--model.latent-dim", "0"], "latent_dim must be at least 1"),
        (["train", "--out", "x", "--model.image-size", "48"], "power of two"),
        (["train", "--out", "x", "--model.image-size", "64"], "64x64 pixels, not 32x32"),
        (["train", "--out", "/dev/null/x"], "/dev/null"),
        (["evaluate", "nowhere"], "not a run"),
        (["info", "nowhere.safetensors"], "does not exist"),
        (["train", "--resume", "nowhere"], "not a run"),
        (["train", "--out", "x", "--model.channels", "3"], "set ModelConfig.channels"),
        (["train", "--out", "x", "--train.batch-size", "5000"], "lower batch_size"),
        (["train", "--out", "x", "--train.batch-size", "1"], "at least two images at a time"),
        (
            ["train", "--out", "x", "--train.batch-size", "20", "--train.accumulate", "20"],
            "at least two images at a time",
        ),
        (["train", "--out", "x", "--held-out", "4000"], "4000 images cannot be held out of 4000"),
        (["train", "--out", "x", "--held-out", "3990"], "10 images do not fill one batch"),
        (["train", "--out", "x", "--held-out", "-1"], "held_out must be at least 0"),
        (["train", "--out", "x", "--train.seed", "-1"], "seed must be at least 0"),
        (["train", "--out", "x", "--train.seed", "9" * 23], "seed must be below 2^32"),
        (["train", "--out", "x", "--device", "tpu"], "'tpu' cannot be used here"),
        (["train", "--out", "x", "--checkpoint-every", "-5"], "checkpoint_every must be at least"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], message: str, capsys, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert error.startswith("svae: ") and error.count("\n") == 1
    assert not Path("x").exists()  # so that the corrected command can take the name


def test_an_unknown_network_names_the_known_ones(run: Path, capsys) -> None:
    assert main(["evaluate", str(run), "--features", "resnet"]) == 2
    assert "lenet" in capsys.readouterr().err


def test_report_shows_runs_of_any_kind_on_one_page(run: Path, tmp_path: Path, capsys) -> None:
    other, page = tmp_path / "autoencoder", tmp_path / "page.html"
    assert main(["train", "--out", str(other), "--kind", "rae-l2", *TINY]) == 0
    options = ["--out", str(page), "--n", "80", "--mixture-components", "2"]
    options += ["--second-stage-steps", "3", "--likelihood-draws", "2"]
    assert main(["report", str(run), str(other), *options]) == 0
    text = page.read_text()
    assert f"split-vae ({run})" in text and f"rae-l2 ({other})" in text
    assert "steps taken" in text and "6 of 6" in text
    assert "a second VAE, trained for 3 steps" in text and "2 draws, 80 images" in text
    assert text.count("The split of reconstructions") == 1  # only one of the two splits
    assert main(["report", str(run), *options]) == 2
    assert "overwrit" in capsys.readouterr().err


def test_two_runs_of_one_name_cannot_share_a_page(run: Path) -> None:
    subjects = [Subject("vae", Run.open(run), None)] * 2
    with pytest.raises(InputError, match="two subjects are called 'vae'"):
        contents(subjects, None)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch) -> Path:
    """A folder of images beside the working directory "here", and no prepared data."""
    monkeypatch.setattr(folders, "cache_folder", lambda name: tmp_path / "cache" / name)
    (tmp_path / "photos").mkdir()
    (tmp_path / "here").mkdir()
    for level in range(60):
        Image.new("L", (32, 32), 4 * level).save(tmp_path / "photos" / f"{level}.png")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "photos"


PHOTOS = "folder:photos?size=32&channels=1"


@pytest.mark.parametrize("root", ["..", None])
def test_a_folder_of_images_is_found_from_elsewhere(
    photos: Path, root: str | None, monkeypatch
) -> None:
    rooted = ["--root", root] if root else []
    if not root:
        monkeypatch.chdir(photos.parent)
    out = photos.parent / "run"
    assert main(["train", "--out", str(out), "--data", PHOTOS, *rooted, *TINY]) == 0
    again = ["train", "--resume", str(out), "--data", PHOTOS, *rooted]
    assert main(again) == 0
    (photos.parent / "elsewhere").mkdir()
    monkeypatch.chdir(photos.parent / "elsewhere")
    assert Run.open(out).data == f"folder:{photos}?size=32&channels=1"
    assert main(["train", "--resume", str(out)]) == 0
    assert main(["reconstruct", str(out), "--out", "r.png"]) == 0
    assert main(again) == (0 if root else 2)  # without the root, folder:photos is another folder


def test_a_model_is_not_scored_where_its_training_images_have_changed(photos: Path, capsys) -> None:
    held_out = ["--held-out", "5", "--root", ".."]
    assert main(["train", "--out", "run", "--data", PHOTOS, *held_out, *TINY]) == 0
    scoring = ["--n", "5", "--mixture-components", "2"]
    assert main(["evaluate", "run", *scoring]) == 0
    new = photos / "new.png"
    Image.new("L", (32, 32), 255).save(new)
    for command in (["evaluate", "run", "--overwrite"], ["report", "run", "--out", "p.html"]):
        assert main([*command, *scoring]) == 2
        assert "are not those that run was trained on" in capsys.readouterr().err
    new.unlink()
    assert main(["evaluate", "run", "--overwrite", *scoring]) == 0


def test_a_warning_comes_without_its_line_of_code(monkeypatch, capsys) -> None:
    def warn(self: object) -> None:
        warnings.warn("few images", stacklevel=1)

    monkeypatch.setattr(pictures.Info, "__call__", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        usual = warnings.formatwarning
        warnings.showwarning = lambda *a: print(
            warnings.formatwarning(*a[:4]), end="", file=sys.stderr
        )
        assert main(["info"]) == 0
    assert capsys.readouterr().err == "svae: few images\n"
    assert warnings.formatwarning is usual


def test_pictures_are_replaced_on_request_and_hold_a_thousand_images(run: Path, tmp_path) -> None:
    out = tmp_path / "p.png"
    for command in ("sample", "reconstruct"):
        assert main([command, str(run), "--out", str(out), "--n", "1001"]) == 2
        assert not out.exists()
        assert main([command, str(run), "--out", str(out), "--n", "2"]) == 0
        assert main([command, str(run), "--out", str(out), "--n", "2"]) == 2
        assert main([command, str(run), "--out", str(out), "--n", "3", "--overwrite"]) == 0
        out.unlink()


def test_a_run_named_twice_is_refused_before_it_is_scored(run: Path, tmp_path, capsys) -> None:
    assert main(["report", str(run), str(run), "--out", str(tmp_path / "r.html")]) == 2
    said = capsys.readouterr()
    assert "each once" in said.err and "scoring" not in said.err
