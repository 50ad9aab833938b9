"""Models on the Hugging Face Hub: one safetensors file, and a card made of its header."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..models import VAE, parameter_count
from ..support.checks import InputError
from .checkpoints import kind_of, load_model, read_about, save_model, weights_hash

FILE = "model.safetensors"
CARD = """\
# {title}

A `{kind}` of the [Split VAE](https://arxiv.org/abs/2202.02738) course's library, `svae_lib`:
{parameters:,} parameters, images of {channels} x {size} x {size} values in [0, 1].

```python
from svae_lib.experiments import hub

model = hub.pull("{repository}")  # in evaluation mode
```

| | |
|---|---|
{facts}
"""


def card(model: VAE, repository: str, about: dict[str, Any], licence: str) -> str:
    """The model's card: configuration, and what is known of its training, in Markdown."""
    hub = _package()
    config = model.config
    facts = {"SHA-256 of the weights": weights_hash(model), "configuration": config}
    facts |= {k: v for k, v in about.items() if k != "history"}
    rows = [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    text = CARD.format(
        title=repository.partition("/")[2],
        kind=kind_of(model),
        parameters=parameter_count(model),
        channels=config.channels,
        size=config.image_size,
        repository=repository,
        facts="\n".join(rows),
    )
    tags = ["split-vae", "variational-autoencoder", "image-generation"]
    data = hub.ModelCardData(
        library_name="svae_lib",
        license=licence,
        tags=tags,
        pipeline_tag="unconditional-image-generation",
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def push(
    path: str | os.PathLike[str],
    repository: str,
    *,
    licence: str,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Upload a saved model with a card, in one commit; an existing repository gets a new version.

    Args:
        path: of a file that :func:`~svae_lib.experiments.checkpoints.save_model` wrote.
        repository: "OWNER/NAME" on the Hub.
        licence: of the weights, as the Hub names it, such as "mit". It depends on your data.
        private: only for you, until you change it; an existing repository stays as it is.
        token: with write access; None takes the one of ``hf auth login``.

    Returns:
        The address of the commit.
    """
    _check_name(repository)
    hub = _package()
    model, about = load_model(path), read_about(path)
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder, FILE), model, about=about)
        text = card(model, repository, about, licence)
        Path(folder, "README.md").write_text(text, encoding="utf-8")
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repository, folder_path=folder, commit_message="Upload a model of svae_lib"
            )
        except (hub.errors.HfHubHTTPError, hub.errors.LocalTokenNotFoundError) as error:
            raise InputError(f"{repository} cannot be written: {_first_line(error)}") from error
    return str(done.commit_url)


def pull(
    repository: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    device: torch.device | str = "cpu",
) -> VAE:
    """Download a model that :func:`push` has uploaded, in evaluation mode, float32.

    Args:
        repository: "OWNER/NAME" on the Hub.
        revision: a commit, tag or branch; name a commit where results must not change.
        token: for a private repository; None takes the one of ``hf auth login``.
        device: where the model is to lie.
    """
    _check_name(repository)
    hub = _package()
    try:
        path = hub.hf_hub_download(repository, FILE, revision=revision, token=token)
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError) as error:
        raise InputError(f"{repository} cannot be read: {_first_line(error)}") from error
    return load_model(path, device)


def _check_name(repository: str) -> None:
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise InputError(f'the repository must be named "OWNER/NAME", not {repository!r}.')


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _package() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise InputError(
            "this needs the package huggingface-hub: pip install svae-lib[hub]."
        ) from None
    return huggingface_hub
