"""The library under the Split-VAE course: ``import svae_lib as sv``.

Models (:class:`svae_lib.models.VAE`, :class:`svae_lib.models.SplitVAE`), their objective, training,
sampling, diagnostics and scores; each module is one idea and can be read on its own.
"""

from . import (
    baselines,
    course,
    data,
    diagnostics,
    fid,
    inference,
    likelihood,
    objective,
    plots,
    presets,
    sampling,
    training,
)
from ._version import __version__
from .authors_weights import load_keras_weights
from .baselines import SecondStage
from .course import exercises
from .experiments import checkpoints, evaluation, monitoring, runs, tables
from .experiments.checkpoints import (
    build_model,
    load_model,
    load_trained,
    load_trained_weights,
    save_model,
)
from .models import VAE, Decoded, Output, SplitVAE, parameter_count
from .objective import Loss, RunningGamma, kl_divergence, reconstruction_error, variational_loss
from .presets import PRESETS, ModelConfig, Preset, TrainConfig
from .sampling import LatentMixture, interpolate, sample_mixture, sample_prior
from .support import devices, distributed, provenance
from .support.checks import InputError
from .support.rescue import TrainingDiverged, TrainingOutOfMemory
from .training import Trainer, train

__all__ = [
    "PRESETS",
    "VAE",
    "Decoded",
    "InputError",
    "LatentMixture",
    "Loss",
    "ModelConfig",
    "Output",
    "Preset",
    "RunningGamma",
    "SecondStage",
    "SplitVAE",
    "TrainConfig",
    "Trainer",
    "TrainingDiverged",
    "TrainingOutOfMemory",
    "__version__",
    "baselines",
    "build_model",
    "checkpoints",
    "course",
    "data",
    "devices",
    "diagnostics",
    "distributed",
    "evaluation",
    "exercises",
    "fid",
    "inference",
    "interpolate",
    "kl_divergence",
    "likelihood",
    "load_keras_weights",
    "load_model",
    "load_trained",
    "load_trained_weights",
    "monitoring",
    "objective",
    "parameter_count",
    "plots",
    "presets",
    "provenance",
    "reconstruction_error",
    "runs",
    "sample_mixture",
    "sample_prior",
    "sampling",
    "save_model",
    "tables",
    "train",
    "training",
    "variational_loss",
]
