"""CelebA's preparation: images per second and peak memory, on generated stand-in photographs.

    python benchmarks/celeba_preparation.py [--count 20000] [--full 202599] [--repeats 3]

The stand-ins are JPEG files of CelebA's size (178x218 pixels, about 7 kB): 100 drawn faces with
noise, repeated up to the count. Each run is a process of its own with an empty cache of prepared
data; the files lie in the memory that the system keeps of the disk, so the disk's speed does not
count. "per_second" is wall time, "per_core_second" the time that cores have worked; they differ
by more than the number of threads when other programs are running. Memory is that of the process,
looked up every 20 ms: "resident" with, "private" without the files that are mapped into memory (and
may be dropped), such as the array; "at_start" is what the imports, PyTorch above all, take before
the work. ``--full`` is one more run on a zip file with as many members as
CelebA has: it shows that memory stays within 1 GiB.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from PIL import Image
from record import save

from svae_lib.data import draw_faces
from svae_lib.data.celeba import RECIPE
from svae_lib.data.preparation import MOST_THREADS, Source, folder_source, prepare, zip_source

DISTINCT = 100


class Memory(NamedTuple):
    resident: int
    private: int


def photographs() -> list[bytes]:
    """JPEG files of drawn faces with a little noise, like a camera's."""
    faces, _ = draw_faces(DISTINCT, seed=0, image_size=218)
    faces = faces[..., 20:198].float()
    noise = torch.randn(faces.shape, generator=torch.Generator().manual_seed(0))
    files = []
    for face in (faces + 4 * noise).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy():
        buffer = io.BytesIO()
        Image.fromarray(face).save(buffer, "JPEG", quality=75)
        files.append(buffer.getvalue())
    return files


def write_folder(folder: Path, files: list[bytes], count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number + 1:06}.jpg").write_bytes(files[number % DISTINCT])


def write_zip(path: Path, files: list[bytes], count: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"img_align_celeba/{number + 1:06}.jpg", files[number % DISTINCT])


def memory() -> Memory:
    """MiB of this process: resident, and of that without mapped files."""
    used = psutil.Process().memory_info()
    return Memory(used.rss >> 20, (used.rss - used.shared) >> 20)


def core_seconds() -> float:
    """Time that cores have worked for this process."""
    return sum(os.times()[:2])


def read_source(place: Path, stack: contextlib.ExitStack) -> Source:
    if place.is_dir():
        return folder_source(place, sorted(path.name for path in place.iterdir()))
    archive = stack.enter_context(zipfile.ZipFile(place))
    return zip_source(archive, sorted(archive.namelist()))


def measure(place: Path, threads: int) -> dict[str, object]:
    """Prepare the images at ``place`` in this process."""
    torch.set_num_threads(threads)
    at_start = memory()
    seen = [at_start]
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.02):
            seen.append(memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory(dir=place.parent) as cache, contextlib.ExitStack() as stack:
        start, work_before = time.perf_counter(), core_seconds()
        source = read_source(place, stack)
        prepare(source, RECIPE, Path(cache), "celeba")
        seconds, work = time.perf_counter() - start, core_seconds() - work_before
    finished.set()
    watcher.join()
    return {
        "from": "folder" if place.is_dir() else "zip",
        "images": len(source.names),
        "workers": threads,
        "images_per_second": round(len(source.names) / seconds, 1),
        "images_per_core_second": round(len(source.names) / work, 1),
        "resident_at_start_MiB": at_start.resident,
        "peak_resident_MiB": max(used.resident for used in seen),
        "private_at_start_MiB": at_start.private,
        "peak_private_MiB": max(used.private for used in seen),
    }


def repeat(place: Path, threads: int, repeats: int) -> dict[str, object]:
    """The median of runs in processes of their own; all rates are kept."""
    command = [sys.executable, __file__, "--one", str(place), "--threads", str(threads)]
    runs = []
    for _ in range(repeats):
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        runs.append(json.loads(found.stdout.splitlines()[-1]))
    rates = [run["images_per_second"] for run in runs]
    result = {
        **runs[0],
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_of_each_repeat": rates,
        **{key: max(run[key] for run in runs) for key in runs[0] if key.startswith("peak")},
    }
    print(result, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--full", type=int, default=0, help="images of one more run, from a zip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the process of one run
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.threads)))
        return
    cores = min(torch.get_num_threads(), MOST_THREADS)
    load = os.getloadavg()[0]
    files = photographs()
    with tempfile.TemporaryDirectory() as name:
        folder, archive = Path(name) / "images", Path(name) / "images.zip"
        write_folder(folder, files, options.count)
        write_zip(archive, files, options.count)
        results = [repeat(folder, threads, options.repeats) for threads in sorted({1, cores})]
        results.append(repeat(archive, cores, options.repeats))
        if options.full:
            write_zip(archive, files, options.full)
            results.append(repeat(archive, cores, 1))
    save(
        "celeba_preparation",
        {
            "what": __doc__.split("\n")[0],
            "load_average_before": round(load, 1),  # of other programs
            "file_bytes_mean": round(statistics.mean(len(file) for file in files)),
            "results": results,
        },
    )


if __name__ == "__main__":
    main()
