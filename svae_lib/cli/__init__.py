"""The command line: svae train, evaluate, sample, reproduce and others.

Every field of ModelConfig and TrainConfig is an option of "svae train", as in
"svae train --preset quick --out runs/a --model.latent-dim 8 --train.seed 3".
"svae info" lists data sets, models, feature networks and presets; "svae --version" the version.
"""

import argparse
import contextlib
import io
import os
import re
import sys
import warnings
from typing import Annotated, Any

import tyro

from .._version import __version__
from ..experiments.runs import Run
from ..presets import PRESETS
from ..support.checks import InputError, named
from ..support.progress import lasting_streams
from ..support.rescue import TrainingDiverged, TrainingOutOfMemory
from .grade import Grade
from .pictures import Export, Info, Reconstruct, Sample
from .scores import Evaluate, Fid, Report
from .tables import Campaign, Demo, Reproduce, Splits
from .train import Train

COMMANDS = (
    *(Train, Evaluate, Sample, Reconstruct, Info, Report, Fid, Export),
    *(Reproduce, Campaign, Splits, Demo, Grade),
)
"""In the order of the help page; each goes by its class's name."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 on success, 2 with one sentence on bad input, 1 if training failed, 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    usual, warnings.formatwarning = warnings.formatwarning, lambda text, *_, **__: f"svae: {text}\n"
    with lasting_streams():
        try:
            _parse([_at_home(argument) for argument in arguments])()
            print(end="", flush=True)
        except (InputError, OSError, TrainingDiverged, TrainingOutOfMemory) as error:
            print(f"svae: {error}", file=sys.stderr)
            return 1 if isinstance(error, TrainingDiverged | TrainingOutOfMemory) else 2
        except KeyboardInterrupt:
            print("svae: stopped.", file=sys.stderr)
            return 130
        finally:
            warnings.formatwarning = usual
    return 0


def _parse(arguments: list[str]) -> Any:
    """The command that the arguments ask for, its options filled in."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(_commands(arguments), prog="svae", args=arguments, description=__doc__)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        # tyro draws a box around its message: keep the words.
        frame = "╭─+ ?[A-Za-z ]*|[\u2500-\u257f]+|-{3,}"
        words = re.sub(frame + r"|Error parsing \S+:|Value error", " ", said.getvalue())
        raise InputError(" ".join(words.split())) from None


def _at_home(argument: str) -> str:
    """An argument with ~ as the home folder: most shells leave it after "--out="."""
    option, equals, value = argument.rpartition("=")
    return option + equals + os.path.expanduser(value)  # noqa: PTH111  not always a path


def _commands(arguments: list[str]) -> Any:
    """All commands as one union type; the preset or run asked for gives the defaults of "train"."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--version", action="version", version=f"svae_lib {__version__}")
    early.add_argument("--preset", default=Train.preset)
    early.add_argument("--resume")
    asked = early.parse_known_args(arguments)[0]
    preset = named(asked.preset, PRESETS, "preset")
    start = Train(model=preset.model, train=preset.train)
    if asked.resume:
        run = Run.open(asked.resume)
        start = Train(
            kind=run.kind,
            data=run.data,
            held_out=run.held_out,
            model=run.model_config,
            train=run.train_config,
        )
    union: Any = Annotated[Train, tyro.conf.subcommand("train", default=start)]
    for command in COMMANDS[1:]:
        union = union | Annotated[command, tyro.conf.subcommand(command.__name__.lower())]
    return union
