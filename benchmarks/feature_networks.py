"""Images per second of each feature network, resizing included, on this machine.

    python benchmarks/feature_networks.py [--images 200] [--repeats 3] [--threads 2] [--device cpu]

Each figure is the median over the repeats of streaming statistics of random 32x32 images (uint8),
batch 50, after one batch that is not counted. Inception has random weights, which cost as much.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from record import save
from torch import nn

from svae_lib.fid import FeatureNetwork, feature_statistics, network
from svae_lib.fid.imagenet import build_inception, load_inception

BATCH = 50


def random_inception(device: torch.device) -> FeatureNetwork:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        save_random_inception(path)
        return load_inception(path, device, genuine=False)


def save_random_inception(path: Path) -> None:
    """Write random weights in the format of pytorch-fid's."""
    torch.manual_seed(0)
    network = build_inception()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # or the features would be of the order of 1e-8
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)


def measure(net: FeatureNetwork, images: int, repeats: int) -> dict[str, object]:
    generator = torch.Generator().manual_seed(0)
    shape = (images, net.channels, 32, 32)
    batch = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    feature_statistics(batch[:BATCH], net, BATCH)
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        feature_statistics(batch, net, BATCH)  # ends on the CPU, so that a GPU has finished
        rates.append(images / (time.perf_counter() - start))
    return {
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in rates],
        "images": images,
        "features": net.dim,
        "resize": net.resize,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    networks = {
        "lenet": (network("lenet", device=device), 50 * options.images),
        "efficientnet-lite0": (network("efficientnet-lite0", device=device), options.images),
        "inception": (random_inception(device), options.images),
    }
    result: dict[str, object] = {
        "what": "images per second to streaming feature statistics, 32x32 uint8 images, batch 50",
        "threads": options.threads,
    }
    for name, (net, images) in networks.items():
        result[name] = measure(net, images, options.repeats)
        print(name, result[name])
    save("feature_networks", result, device)


if __name__ == "__main__":
    main()
