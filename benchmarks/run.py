"""Every benchmark: `make bench`, or one: `python -m benchmarks.run mlp_epoch`. Writes results.json and docs/benchmarks.md."""

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import commands, encoded, epochs, preparing, raw_files, run_cost, saving, scaling, sweeps, tracking
from pipelines import generated_text

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BENCHMARKS: dict[str, tuple[str, str, Callable[[], dict[str, Any]]]] = {
    "mlp_epoch": ("MLP epoch, recorded, over bare", "at most 1.10", lambda: epochs.epoch("mlp", epochs=24)),
    "cnn_epoch": ("CNN epoch in float32, over bare", "at most 0.85", lambda: epochs.epoch("cnn", epochs=1)),
    "cnn_epoch_channels_last": (
        "CNN epoch in float32, over bare in channels-last",
        "",
        lambda: epochs.epoch("cnn", epochs=1, channels_last=True),
    ),
    "cnn_epoch_auto": (
        "CNN epoch with trainer.precision=auto, over bare",
        "at most 0.35 with bfloat16 units",
        lambda: epochs.epoch("cnn", "trainer.precision=auto", epochs=1, tolerance=epochs.HALF),
    ),
    "mlp_epoch_gpu": (
        "MLP epoch on an accelerator, over bare",
        "at most 1.15",
        lambda: epochs.epoch("mlp", epochs=24, device="cuda"),
    ),
    "first_step": ("command to first step, beyond the import of lightning", "at most 1.0 s", commands.first_step),
    "configuration_error": ("a mistyped option", "at most 0.6 s", commands.configuration_error),
    "metric": ("a metric on the step's path", "at most 0.05 ms", tracking.metric),
    "tracking": ("a tracked training, over an untracked one", "at most 1.02", tracking.share),
    "recording": ("share of an MLP's training spent in calls of its record", "at most 2 %", tracking.recording),
    "run_cost": (
        "processor time of a logistic regression on the digits, upload included, over the imports of lightning and mlflow",
        "at most 1.5",
        lambda: run_cost.experiment("logistic_regression"),
    ),
    "run_cost_cnn": (
        "processor time of the CNN on the digits with evaluation, figures and explanation, upload included, over those imports",
        "at most 3",
        lambda: run_cost.experiment("cnn"),
    ),
    "run_cost_row": (
        "memory of eight runs in a row and their uploader, over 1 GiB",
        "at most 1, with one uploader",
        run_cost.row,
    ),
    "run_cost_epoch": ("MLP epoch with the uploader at work, over one without", "at most 1.05", run_cost.epoch),
    "saving": (
        "share of an MLP's training spent on checkpoints, two in an epoch of half a second",
        "at most 2 %",
        saving.share,
    ),
    "memory": ("memory with 8 times the data that may be in memory, over 1 time", "flat", scaling.memory),
    "growth": ("seconds per example with 16 times the data, over 1 time", "flat", scaling.growth),
    "preparing": (
        "preparing 60,000 PNG files of 32x32, in files a second over a pool of Pillow processes that only decodes",
        "at least 0.9",
        preparing.speed,
    ),
    "preparing_large": (
        "the same of 2,000 PNG files of 224x224",
        "at least 0.9",
        lambda: preparing.speed(files=2_000, size=224),
    ),
    "preparing_memory": ("memory of a preparation with 16 times the files, over 1 time", "flat", preparing.memory),
    "encoded_epoch": (
        "images a second of a training on encoded JPEG files, over torchvision's ImageFolder and as many workers",
        "at least 0.9",
        encoded.epoch,
    ),
    "processes": ("examples per second of two one-thread processes (DDP), over one", "at least 1.7", scaling.processes),
    "trial": ("a trial of a search, beyond its training", "at most 0.25 s", lambda: sweeps.measure("per_trial")),
    "trial_growth": ("a trial with 5,000 trials before it, over 100", "at most 1.5", lambda: sweeps.measure("growth")),
    "idle": (
        "two workers' idle time, trial lengths spread ten to one",
        "at most 3 %",
        lambda: sweeps.measure("idle"),
    ),
    "pruning": (
        "epochs of 40 trials of the CNN with successive halving, over those without",
        "a third, for an equal best value",
        lambda: sweeps.measure("pruning"),
    ),
    "predict": ("predicting, over the bare forward pass", "at most 1.11", epochs.predict),
    "predict_files": (
        "seconds of answers for raw files, over torchvision's ImageFolder, as many processes and the bare forward pass",
        "at most 1.11",
        raw_files.predict,
    ),
}


def main(names: list[str]) -> None:
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    possible = [name for name in BENCHMARKS if torch.cuda.is_available() or not name.endswith("_gpu")]
    for name in names or possible:
        results[name] = {**BENCHMARKS[name][2](), "machine": _machine()}
        print(name, json.dumps(results[name]), flush=True)
        path.write_text(json.dumps(results, indent=2) + "\n")
    table = markdown(results)
    generated_text.replace(PAGE, "benchmarks", table)
    print(table)


def markdown(results: dict[str, Any]) -> str:
    """The table of docs/benchmarks.md."""
    rows = [
        f"| {BENCHMARKS[name][0]} | {_figure(results[name])} | {BENCHMARKS[name][1]} |"
        for name in BENCHMARKS
        if name in results
    ]
    return "\n".join(["| what | measured: median (range) | target |", "|---|---|---|", *rows])


def _machine() -> dict[str, Any]:
    units = {"avx512_bf16": torch.cpu._is_avx512_bf16_supported(), "amx": torch.cpu._is_amx_tile_supported()}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"threads": torch.get_num_threads(), **units, "accelerator": device, **versions}


def _figure(result: dict[str, Any]) -> str:
    return _number(result) + (f"; {result['beside']}" if "beside" in result else "")


def _number(result: dict[str, Any]) -> str:
    low, high = result["range"]
    if "seconds_beyond_the_import" in result:
        return f"{result['seconds_beyond_the_import']:.2f} s"
    if "percent" in result:
        return f"{result['percent']:.2f} %" + (f" ({low:.2f} to {high:.2f})" if low < high else "")
    if "ratio" in result:
        return f"{result['ratio']:.2f} ({low:.2f} to {high:.2f})"
    if result["seconds"] < 0.01:
        return f"{1000 * result['seconds']:.4f} ms ({1000 * low:.4f} to {1000 * high:.4f})"
    return f"{result['seconds']:.2f} s ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main(sys.argv[1:])
