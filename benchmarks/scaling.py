"""What happens to the cost of an example, and to memory, when the data grows."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.data import synthetic
from benchmarks.problem import ROOT, Platform
from src.runs.files import read_json

EXAMPLES = 20_000  # in the training split, at x1
LIMIT = 64 * 2**20  # bytes of examples that may be held in memory; 784 make an example


def growth(*, rounds: int = 5) -> dict[str, Any]:
    """Seconds an example with 4 and 16 times the data over those with 1, of as many examples trained on."""
    seconds: dict[int, list[float]] = {1: [], 4: [], 16: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):  # the first one warms up
            for factor, durations in seconds.items():
                platform = Platform("mlp", Path(folder), data=synthetic(EXAMPLES * factor + 6000, test=1000))
                run = platform.run(f"trainer.max_epochs={16 // factor}")
                if number:
                    durations.append(read_json(run / "timings.json")["fit_seconds"] / (16 * EXAMPLES))
    ratios = {
        factor: [one / other for one, other in zip(seconds[factor], seconds[1], strict=True)]
        for factor in seconds
        if factor > 1
    }
    return {
        "ratio": round(statistics.median(ratios[16]), 3),
        "range": [round(min(ratios[16]), 3), round(max(ratios[16]), 3)],
        "ratio_x4": round(statistics.median(ratios[4]), 3),
        "microseconds_an_example": {
            factor: round(1e6 * statistics.median(durations), 2) for factor, durations in seconds.items()
        },
        "rounds": rounds,
    }


def memory() -> dict[str, Any]:
    """The most anonymous memory of a training on as much data as may be held, and on eight times as much."""
    peaks = {}
    for factor in (1, 8):
        examples = factor * LIMIT // 784
        with tempfile.TemporaryDirectory() as folder:
            platform = Platform("mlp", Path(folder), data=synthetic(examples + 6000, test=1000))
            platform.run("trainer.max_epochs=1", "trainer.limit_batches=1")  # prepares the data
            peaks[factor] = _peak(platform.command("trainer.max_epochs=2", f"trainer.in_memory_gib={LIMIT / 2**30}"))
    return {
        "ratio": round(peaks[8] / peaks[1], 3),
        "range": [round(peaks[8] / peaks[1], 3)] * 2,
        "peak_mib": {factor: round(peak / 2**20) for factor, peak in peaks.items()},
        "limit_mib": LIMIT // 2**20,
    }


def _peak(command: list[str]) -> int:
    """Bytes of memory that are not pages of files, at most, in a process while it lives."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                resident = [int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon")]
        except FileNotFoundError:
            sys.exit("the memory benchmark reads /proc, which Linux alone has")
        peak = max(peak, *resident, 0)
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()[1].decode()
    return peak


def processes(*, batches: int = 60, pairs: int = 5) -> dict[str, Any]:
    """Examples a second of two processes of one thread each, over those of one; the CNN, in its second epoch."""
    with tempfile.TemporaryDirectory() as name:
        platform = Platform("cnn", Path(name), environment={"OMP_NUM_THREADS": "1"})

        def seconds(*settings: str) -> float:
            run = platform.run("trainer.max_epochs=2", f"trainer.limit_batches={batches}", *settings)
            points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            first, second = [point["time"] for point in points if point["name"] == "val/loss"]
            return (second - first) / 1000

        durations = [(seconds(), seconds("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")) for _ in range(pairs)]
    ratios = [2 * one / two for one, two in durations]  # as many batches, of twice the size
    return {
        "ratio": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "seconds": {"one": [round(one, 2) for one, _ in durations], "two": [round(two, 2) for _, two in durations]},
    }
