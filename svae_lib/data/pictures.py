"""A folder's pictures at their own sizes, a batch at a time: for scores, not for training."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..support.checks import InputError, check_counts, check_seed
from ..support.files import expand
from .decoding import decode, read_file, reason
from .folder import image_names


class Pictures:
    """The pictures in a folder and its subfolders; :meth:`batches` reads them.

    Args:
        folder: hidden files and folders in it are left out, and links to folders are followed.
        batch_size: pictures in a batch, at most.
        seed: of the random order, so that the first pictures are a fair sample of all.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, batch_size: int = 50, seed: int = 0
    ) -> None:
        check_counts(batch_size=batch_size)
        check_seed(seed)
        self.folder, self.batch_size = expand(folder), batch_size
        if not self.folder.is_dir():
            raise InputError(f"{folder} is not a folder.")
        files = image_names(self.folder)
        self._files = [files[i] for i in np.random.default_rng(seed).permutation(len(files))]

    def __len__(self) -> int:
        return len(self._files)

    def batches(self, channels: int) -> Iterator[Tensor]:
        """Batches of pictures, each of one size: uint8 (N, C, H, W), with C = ``channels``, 1 or 3.

        Each picture is turned upright and converted as in :func:`svae_lib.data.load_folder`, but
        neither cropped nor resized. A file that is not a picture raises an InputError.
        """
        waiting: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for name in self._files:
            try:
                pixels = decode(read_file(self.folder / name), None, channels)
            except Exception as error:  # whatever a decoder raises
                told = f"{self.folder / name} cannot be read as a picture: {reason(error)}."
                raise InputError(told) from None
            picture = torch.from_numpy(pixels.copy())
            waiting[picture.shape].append(picture)
            fullest = max(waiting, key=lambda shape: len(waiting[shape]))
            held = sum(map(len, waiting.values()))
            # Where nearly every picture has a size of its own, not all of them can wait.
            if len(waiting[fullest]) == self.batch_size or held == 4 * self.batch_size:
                yield torch.stack(waiting.pop(fullest))
        for pictures in waiting.values():
            yield torch.stack(pictures)
