"""What a user waits for at the command line, each command in a process of its own."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import alternate, repeat

ROOT = Path(__file__).resolve().parents[1]


def first_step() -> dict[str, Any]:
    """From the command to the first optimizer step, compared with only the import of lightning."""

    def by_platform(folder: str) -> float:
        start = time.time()
        command = [sys.executable, "-m", "benchmarks.first_step"]
        done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=True)
        return float(done.stdout.split()[-1]) - start

    with tempfile.TemporaryDirectory() as folder:
        timing = alternate(
            lambda: by_platform(folder), lambda: _seconds(folder, "-c", "import src, lightning.pytorch"), pairs=5
        )
    return {**timing, "seconds_beyond_the_import": round(timing["platform_seconds"] - timing["bare_seconds"], 3)}


def configuration_error() -> dict[str, Any]:
    """A mistyped option, from the command to its message."""
    with tempfile.TemporaryDirectory() as folder:
        return repeat(lambda: _seconds(folder, "-m", "src.train", "+experiment=cnn", "optimizer.lrr=3", code=2), times=7)


def _seconds(folder: str, *arguments: str, code: int = 0) -> float:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=_environment(), capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    return time.perf_counter() - start


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
