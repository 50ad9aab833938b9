"""Models as ONNX files, for browsers and programs without PyTorch; checked before they are kept."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
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


class _Encoder(nn.Module):
    inputs, outputs = ("images",), ("mu", "log_var")

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.model.encode(images)


class _Decoder(nn.Module):
    inputs: tuple[str, ...] = ("z",)

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model
        with torch.no_grad():
            splits = model.decode(_latents(model, 1)).components is not None
        self.outputs: tuple[str, ...] = ("x_hat", "components", "weights") if splits else ("x_hat",)

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        out = self.model.decode(z)
        if out.components is None or out.weights is None:
            return (out.x_hat,)
        return out.x_hat, out.components, out.weights


class _Both(nn.Module):
    inputs = ("images",)

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.encoder, self.decoder = _Encoder(model), _Decoder(model)
        self.outputs = (*self.encoder.outputs, *self.decoder.outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        mu, log_var = self.encoder(images)
        return (mu, log_var, *self.decoder(mu))


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
    onnx, runtime = _packages()
    with atomic_path(path, overwrite=overwrite) as temporary, _at_rest(model):
        module = {"decoder": _Decoder, "encoder": _Encoder, "both": _Both}[part](model)
        # The exporter sets modules back to the mode it finds the outermost one in.
        module.eval()
        make = _latents if part == "decoder" else _images
        _export(module, make(model, 2), temporary)
        about = {"library": __version__, "kind": kind_of(model), "part": part}
        about |= {"config": json.dumps(asdict(model.config)), "sha256": weights_hash(model)}
        file = onnx.load(str(temporary))
        onnx.helper.set_model_props(file, about)
        onnx.save(file, str(temporary))
        _check(module, temporary, [make(model, n) for n in (1, 5)], runtime)


@contextlib.contextmanager
def _at_rest(model: VAE) -> Any:
    """The model in evaluation mode on the CPU in float32, and afterwards as it was before."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            yield model.to("cpu").eval()
    finally:
        model.to(device)
        for module, training in modes:
            module.training = training


def _latents(model: VAE, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, model.config.latent_dim, generator=generator)


def _images(model: VAE, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    c, s = model.config.channels, model.config.image_size
    return torch.rand(n, c, s, s, generator=generator)


def _export(module: Any, example: Tensor, path: Path) -> None:
    said = io.StringIO()  # the exporter reports its stages to the screen
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                path,
                input_names=list(module.inputs),
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


def _check(module: Any, path: Path, examples: list[Tensor], runtime: Any) -> None:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for example in examples:
        found = session.run(None, {module.inputs[0]: example.numpy()})
        for name, ours, theirs in zip(module.outputs, module(example), found, strict=True):
            worst = (ours - torch.from_numpy(theirs)).abs().max().item()
            if not worst <= TOLERANCE:  # NaN included
                raise InputError(
                    f"the exported file computes something else than PyTorch: {name} differs by "
                    f"{worst:.2g}. It was not kept; another version of onnx may help."
                )


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  the exporter needs it
    except ImportError as error:
        raise InputError(
            f"exporting needs the package {error.name}: pip install svae-lib[export]."
        ) from None
    return onnx, onnxruntime
