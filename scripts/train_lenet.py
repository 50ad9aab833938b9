"""Train the LeNet whose features score digits or clothes, and record how good it is.

    python scripts/train_lenet.py                                   mnist-5k, in about two minutes
    python scripts/train_lenet.py --data mnist --root DIR           the full set
    python scripts/train_lenet.py --data fashion-mnist --root DIR

It learns from the training images alone and is measured once, at the end, on the test images.
Writes svae_lib/fid/weights/lenet-DATA.safetensors and a JSON with the facts beside it. The same
seed, versions and number of threads give the same weights.
"""

from __future__ import annotations

import argparse
import math
import platform
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm, trange

import svae_lib.data
from svae_lib.data import ImageSets, to_float
from svae_lib.fid.lenet import WEIGHTS_FOLDER, LeNet, to_32_pixels
from svae_lib.support.files import atomic_path, file_hash, write_json

BATCH = 64


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn by up to 12 degrees, scale by up to 12 %, shift by up to 2 pixels; (N, 1, 32, 32)."""
    n = len(images)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, scale = uniform(math.radians(12)), 1 + uniform(0.12)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = 2 * 2 / 32  # 2 pixels, where the image spans -1 to 1
    rows = (cos, -sin, uniform(shift), sin, cos, uniform(shift))
    matrices = torch.stack(rows, dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def train(sets: ImageSets, epochs: int, seed: int) -> LeNet:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = LeNet().train()
    steps = epochs * math.ceil(len(sets.train) / BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    for _ in trange(epochs, desc="epochs"):
        order = torch.randperm(len(sets.train), generator=generator)
        for batch in tqdm(order.split(BATCH), leave=False):
            images = augment(to_32_pixels(to_float(sets.train[batch])), generator)
            loss = F.cross_entropy(model(images), sets.train_labels[batch], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def accuracy(model: LeNet, images: Tensor, labels: Tensor) -> float:
    guesses = [model(to_32_pixels(to_float(batch))).argmax(1) for batch in images.split(500)]
    return (torch.cat(guesses) == labels).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist-5k", help="a name that svae_lib.data.load knows")
    parser.add_argument("--root", help="folder with the data set's files")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FOLDER)
    options = parser.parse_args()

    sets = svae_lib.data.load(options.data, root=options.root)
    model = train(sets, options.epochs, options.seed)
    path = options.out / f"lenet-{options.data}.safetensors"
    with atomic_path(path, overwrite=True) as temporary:
        save_file(model.state_dict(), temporary)
    facts = {
        "network": "svae_lib.fid.lenet.LeNet",
        "sha256": file_hash(path),
        "test_accuracy": accuracy(model, sets.test, sets.test_labels),
        "train_images": len(sets.train),
        "test_images": len(sets.test),
        "data": options.data,
        "source": sets.source,
        "epochs": options.epochs,
        "seed": options.seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "script": "scripts/train_lenet.py",
    }
    write_json(path.with_suffix(".json"), facts, overwrite=True)
    print(f"{path}: accuracy {facts['test_accuracy']:.2%} on {len(sets.test):,} test images")


if __name__ == "__main__":
    main()
