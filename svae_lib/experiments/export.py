"""Models as ONNX files, for browsers and programs without PyTorch; checked before they are kept."""

import contextlib
import copy
import io
import json
import os
import warnings
from dataclasses import asdict
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .._version import __version__
from ..models import VAE
from ..support.checks import InputError, optional
from ..support.files import atomic_path
from .checkpoints import kind_of, weights_hash

Part = Literal["decoder", "encoder", "both"]
OPSET = 18
TOLERANCE = 1e-5
"""Largest difference from PyTorch, in any output of the check, with which a file is kept."""


def export_onnx(
    model: VAE, path: str | os.PathLike[str], part: Part = "decoder", *, overwrite: bool = False
) -> None:
    """Write a model, or a part of it, as an ONNX file that takes any number of images.

    The decoder maps ``z`` (N, L) to ``x_hat`` (N, C, S, S) and, where the model splits,
    ``components`` (N, K, C, S, S) and ``weights`` (N, K, 1, S, S); the encoder maps ``images``
    (N, C, S, S) in [0, 1] to ``mu`` and ``log_var`` (N, L); "both" decodes the posterior means.
    All are float32. The file's metadata hold kind, configuration and the weights' SHA-256. The
    model may be on any device and in any mode, and is left as it was.

    Raises:
        InputError: an unknown part, packages are missing, the model cannot be exported, or what
            the file computes differs from PyTorch by more than :data:`TOLERANCE`; no file is kept.
        FileExistsError: the file exists and ``overwrite`` is False.
    """
    if part not in get_args(Part):
        raise InputError(f"part must be decoder, encoder or both, not {part!r}.")
    optional("onnxscript", "exporting", "export")  # PyTorch's exporter imports it
    onnxruntime = optional("onnxruntime", "exporting", "export")
    about = {"library": __version__, "kind": kind_of(model), "part": part}
    about |= {"config": json.dumps(asdict(model.config)), "sha256": weights_hash(model)}
    with atomic_path(path, overwrite=overwrite) as temporary, torch.no_grad():
        function = _Function(copy.deepcopy(model).cpu(), part).eval()
        program = _exported(function)
        program.model.metadata_props.update(about)
        program.save(temporary, external_data=False)
        cpu = ["CPUExecutionProvider"]
        _check(function, onnxruntime.InferenceSession(temporary, providers=cpu))


class _Function(nn.Module):
    """A part of a model as a function of one tensor."""

    def __init__(self, model: VAE, part: Part) -> None:
        super().__init__()
        self.model, self.part = model, part
        self.input = "z" if part == "decoder" else "images"

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if self.part != "decoder":
            found["mu"], found["log_var"] = self.model.encode(x)
        if self.part != "encoder":
            out = self.model.decode(found.get("mu", x))
            found |= {name: value for name, value in vars(out).items() if value is not None}
        return found

    def example(self, n: int) -> Tensor:
        """A random input of n latent vectors or images."""
        generator, shape = torch.Generator().manual_seed(n), self.model.config
        if self.part == "decoder":
            return torch.randn(n, shape.latent_dim, generator=generator)
        size = shape.channels, shape.image_size, shape.image_size
        return torch.rand(n, *size, generator=generator)


def _exported(function: _Function) -> Any:
    example = function.example(2)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                function,
                (example,),
                input_names=[function.input],
                output_names=list(function(example)),
                dynamic_shapes=({0: torch.export.Dim("n")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # whatever the exporter meets in a model of the user's own
        first = str(error).strip().split("\n")[0]
        raise InputError(
            f"this model cannot be exported to ONNX ({type(error).__name__}: {first})."
        ) from error


def _check(function: _Function, session: Any) -> None:
    for example in map(function.example, (1, 5)):
        found = session.run(None, {function.input: example.numpy()})
        for (name, ours), theirs in zip(function(example).items(), found, strict=True):
            worst = (ours - torch.from_numpy(theirs)).abs().max().item()
            if not worst <= TOLERANCE:  # NaN included
                raise InputError(
                    f"the exported file does not compute what PyTorch computes: {name} differs by "
                    f"{worst:.2g}. It was not kept; another version of onnx may help."
                )
