"""Before a search: every choice composes, and the extremes of the space pass a real batch."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from typing import Any

from pipelines.sweep.messages import End
from pipelines.sweep.setup import Setup
from pipelines.sweep.slots import Slots
from src.config import command_line
from src.distributed import processes
from src.errors import InputError

EPOCHS, BATCHES = 2, 8  # of a check: the first epoch warms up


def points(setup: Setup, slots: Slots) -> None:
    """Trains on a few batches at the corners of the space, and prints what they and a whole trial there take.

    Raises:
        InputError: a choice does not compose, or a corner fails.
    """
    corners = [*setup.space.corners()]
    orders = []
    for number, values in enumerate(corners):
        order = setup.order(values, f"check-{os.getpid()}-{number}", threads=slots.threads)
        training = order.trainings[0]
        trainer = {**training.config["trainer"], "max_epochs": EPOCHS, "limit_batches": BATCHES}
        training = dataclasses.replace(training, config={**training.config, "trainer": trainer})
        orders.append(dataclasses.replace(order, trainings=(training,)))
        shutil.rmtree(order.folder, ignore_errors=True)
    rows = {}
    try:
        for number, end in slots.each(orders):
            values = corners[number]
            shown = " ".join(f"{key}={value}" for key, value in values.items())
            if end.state != "complete":
                list(slots.stop())
                raise InputError(f"sweep.space: {BATCHES} batches fail at {shown}: {end.reason}")
            rows[shown] = f"{end.parameters:,} parameters, {end.memory / 2**20:,.0f} MiB{_time(setup, values, end)}"
    finally:
        list(slots.stop())  # an interrupted check leaves trials behind, which do not hear signals
        for order in orders:
            shutil.rmtree(order.folder, ignore_errors=True)
    print(command_line.table(rows, "The extremes of the space:"))


def _time(setup: Setup, values: Mapping[str, Any], end: End) -> str:
    """How long a whole trial at a point takes, if the few batches are like the rest; empty where that makes no sense."""
    config = setup.config(values)
    epochs, size = config["trainer"].get("max_epochs"), config["data"].get("batch_size")
    if end.pace is None or not epochs or not size:
        return ""
    together = processes.wanted(config["trainer"].get("devices", 1), config["trainer"].get("num_nodes", 1))
    batches = -(-setup.prepared.card["counts"]["train"] // (size * together))
    seconds = end.pace * batches / min(BATCHES, batches) * epochs * len(setup.seeds)
    return f", about {seconds:,.0f} s a trial"
