"""Models as ONNX files, for browsers and programs without PyTorch; checked before they are kept."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .._version import __version__
from ..models import VAE
from ..support.checks import InputError
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
    All are float32. The file's metadata hold kind, configuration and the weights' SHA-256.

    Args:
        model: on any device and in any mode; it is left as it was.
        path: the file.
        part: "decoder", "encoder" or "both".
        overwrite: replace an existing file.

    Raises:
        InputError: an unknown part, packages are missing, the model cannot be exported, or what
            the file computes differs from PyTorch by more than :data:`TOLERANCE`; no file is kept.
        FileExistsError: the file exists and ``overwrite`` is False.
    """
    if part not in get_args(Part):
        raise InputError(f"part must be decoder, encoder or both, not {part!r}.")
    about = {"library": __version__, "kind": kind_of(model), "part": part}
    about |= {"config": json.dumps(asdict(model.config)), "sha256": weights_hash(model)}
    onnx, runtime = _packages()
    with atomic_path(path, overwrite=overwrite) as temporary, _at_rest(model):
        module = _Function(model, part)
        # Some versions of the exporter leave every module in the mode of the outermost one: in
        # training mode the comparison below would fail, and change the running statistics.
        module.eval()
        _export(module, _example(model, part, 2), temporary)
        file = onnx.load(str(temporary))
        onnx.helper.set_model_props(file, about)
        onnx.save(file, str(temporary))
        _check(module, temporary, [_example(model, part, n) for n in (1, 5)], runtime)


class _Function(nn.Module):
    """A part of a model as a function of one tensor."""

    def __init__(self, model: VAE, part: Part) -> None:
        super().__init__()
        self.model, self.part = model, part
        splits = model.decode(_example(model, "decoder", 1)).components is not None
        decoded = ("x_hat", "components", "weights") if splits else ("x_hat",)
        encoded = ("mu", "log_var")
        self.input = "z" if part == "decoder" else "images"
        self.outputs = {"encoder": encoded, "decoder": decoded, "both": encoded + decoded}[part]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.part == "decoder":
            return self._decode(x)
        mu, log_var = self.model.encode(x)
        return (mu, log_var) if self.part == "encoder" else (mu, log_var, *self._decode(mu))

    def _decode(self, z: Tensor) -> tuple[Tensor, ...]:
        out = self.model.decode(z)
        if out.components is None or out.weights is None:
            return (out.x_hat,)
        return out.x_hat, out.components, out.weights


@contextlib.contextmanager
def _at_rest(model: VAE) -> Iterator[None]:
    """The model in evaluation mode on the CPU, and afterwards as it was before."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    try:
        model.to("cpu").eval()
        with torch.no_grad():
            yield
    finally:
        model.to(device)
        for module, training in modes:
            module.training = training


def _example(model: VAE, part: Part, n: int) -> Tensor:
    """A random input of n latent vectors or images."""
    generator = torch.Generator().manual_seed(n)
    c, s = model.config.channels, model.config.image_size
    if part == "decoder":
        return torch.randn(n, model.config.latent_dim, generator=generator)
    return torch.rand(n, c, s, s, generator=generator)


def _export(module: _Function, example: Tensor, path: Path) -> None:
    stages = io.StringIO()  # the exporter prints them
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(stages):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                path,
                input_names=[module.input],
                output_names=list(module.outputs),
                dynamic_shapes=({0: torch.export.Dim("n")},),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as error:  # whatever the exporter meets in a model of the user's own
        first = str(error).strip().split("\n")[0]
        raise InputError(
            f"this model cannot be exported to ONNX ({type(error).__name__}: {first})."
        ) from error


def _check(module: _Function, path: Path, examples: list[Tensor], runtime: Any) -> None:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for example in examples:
        found = session.run(None, {module.input: example.numpy()})
        for name, ours, theirs in zip(module.outputs, module(example), found, strict=True):
            worst = (ours - torch.from_numpy(theirs)).abs().max().item()
            if not worst <= TOLERANCE:  # NaN included
                raise InputError(
                    f"the exported file does not compute what PyTorch computes: {name} differs by "
                    f"{worst:.2g}. It was not kept; another version of onnx may help."
                )


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  the exporter needs it
    except ImportError as error:
        raise InputError(
            f'exporting needs the package {error.name}: pip install "svae-lib[export]".'
        ) from None
    return onnx, onnxruntime
