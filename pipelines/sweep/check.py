"""Before a search: the extremes of its space train on a few batches."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping

from pipelines.sweep.messages import TrialResult
from pipelines.sweep.pool import TrialPool
from pipelines.sweep.setup import Setup
from src.config import command_line
from src.distributed import processes
from src.errors import InputError

EPOCHS, BATCHES = 2, 8  # of a check; the first epoch warms up


def extremes(setup: Setup, pool: TrialPool) -> None:
    """Trains on a few batches at the extremes of the space, and prints what they and a whole trial there take.

    Raises:
        InputError: a choice does not compose, or a training fails.
    """
    combinations = [*setup.space.extremes()]
    specs = []
    for number, overrides in enumerate(combinations):
        spec = setup.trial_spec(overrides, f"check-{os.getpid()}-{number}", threads=pool.threads)
        training = spec.trainings[0]
        trainer = {**training.config["trainer"], "max_epochs": EPOCHS, "limit_batches": BATCHES}
        training = dataclasses.replace(training, config={**training.config, "trainer": trainer})
        specs.append(dataclasses.replace(spec, trainings=(training,)))
        shutil.rmtree(spec.folder, ignore_errors=True)
    rows = {}
    try:
        for number, result in pool.run_all(specs):
            overrides = combinations[number]
            shown = " ".join(f"{key}={value}" for key, value in overrides.items())
            if result.state != "complete":
                raise InputError(f"sweep.space: {BATCHES} batches fail at {shown}: {result.reason}")
            size = f"{result.parameters:,} parameters, {result.memory / 2**20:,.0f} MiB"
            rows[shown] = f"{size}{_trial_time(setup, overrides, result)}"
    finally:
        pool.kill_all()  # an interrupted check leaves trials behind, which do not hear signals
        for spec in specs:
            shutil.rmtree(spec.folder, ignore_errors=True)
    print(command_line.table(rows, "The extremes of the space:"))


def _trial_time(setup: Setup, overrides: Mapping[str, object], result: TrialResult) -> str:
    """How long a whole trial takes, if all batches are like the few of the check; empty where the number of epochs is open."""
    config = setup.config(overrides)
    epochs, batch_size = config["trainer"].get("max_epochs"), config["data"].get("batch_size")
    if result.epoch_seconds is None or not epochs or not batch_size:
        return ""
    ranks = processes.wanted(config["trainer"].get("devices", 1), config["trainer"].get("num_nodes", 1))
    batches = -(-setup.prepared.card["counts"]["train"] // (batch_size * ranks))
    seconds = result.epoch_seconds * batches / min(BATCHES, batches) * epochs * len(setup.seeds)
    return f", about {seconds:,.0f} s a trial"
