"""Preparing a folder of PNG files: its speed beside a pool of Pillow processes that only decodes, and its memory.

`python -m benchmarks.preparing bare ROOT SIZE FOLDER` and `... prepare ROOT SIZE FOLDER` print the seconds of one of the two.
"""

import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.problem import ROOT

CLASSES = 10
FILES, SIZE = 60_000, 32


def speed(*, files: int = FILES, size: int = SIZE, pairs: int = 3) -> dict[str, Any]:
    """Files a second of a preparation over those of the pool: its listing, decoding, checks, hashes and writing included."""
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), files, size)
        durations = [(_seconds("bare", root, size)[0], _seconds("prepare", root, size)[0]) for _ in range(pairs)]
    ratios = [bare / own for bare, own in durations]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "files": files,
        "size": size,
        "files_a_second": {
            "bare": round(files / statistics.median(bare for bare, _ in durations)),
            "prepare": round(files / statistics.median(own for _, own in durations)),
        },
        "pairs": pairs,
    }


def memory(*, files: int = 3_750, size: int = SIZE) -> dict[str, Any]:
    """The most memory of a preparation's processes together with 16 times the files, over that with 1 time.

    It is the anonymous memory, without pages of files, which the kernel takes back when it needs them.
    """
    peaks = {}
    for factor in (1, 4, 16):
        with tempfile.TemporaryDirectory() as name:
            root = write(Path(name), factor * files, size)
            peaks[factor] = _seconds("prepare", root, size)[1]
    ratio = round(peaks[16] / peaks[1], 3)
    return {
        "ratio": ratio,
        "range": [ratio, ratio],
        "peak_mib": {factor: round(peak / 2**20) for factor, peak in peaks.items()},
    }


def write(folder: Path, files: int, size: int) -> Path:
    """A folder of images: coarse colours with some noise."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        pool.starmap(_write, [(folder / str(label), label, files, size) for label in range(CLASSES)], chunksize=1)
    return folder


def _write(folder: Path, label: int, files: int, size: int) -> None:
    from PIL import Image

    folder.mkdir()
    for number in range(label, files, CLASSES):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(coarse).astype(np.int16) + rng.integers(-8, 8, (size, size, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:06}.png")


def _seconds(what: str, root: Path, size: int) -> tuple[float, int]:
    """How long it takes, without the start of its interpreter, and the most anonymous memory of its processes together."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "benchmarks.preparing", what, str(root), str(size), f"{name}/prepared"]
        started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        peak, process = 0, psutil.Process(started.pid)
        while started.poll() is None:
            everyone = [started.pid, *(child.pid for child in process.children(recursive=True))]
            peak = max(peak, sum(map(_anonymous, everyone)))
            time.sleep(0.1)
        assert started.stdout is not None
        output = started.stdout.read()
    assert started.returncode == 0, output
    return float(json.loads(output)), peak


def _anonymous(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as status:
            return sum(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0


def bare(root: Path) -> None:
    """A pool of Pillow processes that decodes, as a script would."""
    from src.data.worker_pool import processors

    with multiprocessing.get_context("fork").Pool(processors()) as pool:
        pool.map(_decode, sorted(map(str, root.glob("*/*.png"))), chunksize=64)


def _decode(path: str) -> None:
    from PIL import Image

    with Image.open(path) as image:
        np.asarray(image.convert("RGB"))


def prepare(root: Path, size: int, folder: Path) -> None:
    from src.data import store
    from src.data.sources.folder import Folder

    split = {"val": 0.15, "test": 0.2, "seed": 0}
    store.prepare(folder, Folder(root=str(root), size=size, channels=3), name="bench", split=split, max_duplicates=1.0)


def main(what: str, root: str, size: str, folder: str) -> None:
    import PIL.Image  # noqa: F401 - the forks of the bare pool inherit it

    import src.data.sources.folder
    import src.data.store  # noqa: F401

    began = time.perf_counter()
    if what == "bare":
        bare(Path(root))
    else:
        prepare(Path(root), int(size), Path(folder))
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
