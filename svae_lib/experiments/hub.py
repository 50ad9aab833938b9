"""Models on the Hugging Face Hub: one safetensors file, and a card made of its header.

Needs the extra ``hub``. What the Hub refuses raises the errors of the package huggingface_hub.
"""

import os
from typing import Any

import torch

from ..models import VAE, parameter_count
from ..support.checks import InputError, optional
from ..support.files import expand
from ..support.tensor_files import read_header
from .checkpoints import kind_of, load_model, read_about, weights_hash

PACKAGE = "huggingface_hub", "the Hugging Face Hub", "hub"
FILE = "model.safetensors"
CARD = """\
# {title}

A `{kind}` of the [Split VAE](https://arxiv.org/abs/2202.02738) course's library, `svae_lib`:
{parameters:,} parameters, images of {config.channels} x {config.image_size} x {config.image_size}
values in [0, 1].

```python
from svae_lib.experiments import hub

model = hub.pull("{repository}")  # in evaluation mode
```

| | |
|---|---|
{facts}
"""


def _card(hub: Any, model: VAE, repository: str, about: dict[str, Any], licence: str) -> str:
    """The model's card in Markdown: configuration, and what is known of its training."""
    facts = {"SHA-256 of the weights": weights_hash(model), "configuration": model.config}
    facts |= {k: v for k, v in about.items() if k != "history"}
    cells = {k: str(v).replace("|", "\\|").replace("\n", " ") for k, v in facts.items()}
    text = CARD.format(
        title=repository.split("/")[-1],
        kind=kind_of(model),
        parameters=parameter_count(model),
        config=model.config,
        repository=repository,
        facts="\n".join(f"| {name} | {cell} |" for name, cell in cells.items()),
    )
    data = hub.ModelCardData(
        library_name="svae_lib",
        license=licence,
        tags=["split-vae", "variational-autoencoder", "image-generation"],
        pipeline_tag="unconditional-image-generation",
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def push(
    path: str | os.PathLike[str], repository: str, *, licence: str, private: bool = True
) -> str:
    """Upload a saved model with a card, in one commit, and return the commit's address.

    It needs a token with write access: that of ``hf auth login``, or the variable HF_TOKEN.

    Args:
        path: of a file that :func:`~svae_lib.experiments.checkpoints.save_model` wrote.
        repository: "OWNER/NAME" on the Hub.
        licence: of the weights, as the Hub names it, such as "mit". It depends on your data.
        private: only for you, until you change it; an existing repository stays as it is.
    """
    hub = optional(*PACKAGE)
    if read_header(expand(path))["what"] != "model":  # a checkpoint tells of the training images
        raise InputError(f"{path} is no file that save_model wrote: a run's is model.safetensors.")
    card = _card(hub, load_model(path), repository, read_about(path), licence)
    files = [
        hub.CommitOperationAdd("README.md", card.encode()),
        hub.CommitOperationAdd(FILE, str(expand(path))),
    ]
    api = hub.HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    done = api.create_commit(repository, files, commit_message="Upload a model of svae_lib")
    return str(done.commit_url)


def pull(
    repository: str, *, revision: str | None = None, device: torch.device | str = "cpu"
) -> VAE:
    """Download a model that :func:`push` has uploaded, in evaluation mode, float32.

    Args:
        repository: "OWNER/NAME" on the Hub.
        revision: a commit, tag or branch; name a commit where results must not change.
    """
    path = optional(*PACKAGE).hf_hub_download(repository, FILE, revision=revision)
    return load_model(path, device)
