"""Before a search: every choice composes, and the extremes of the space pass a real batch."""

from __future__ import annotations

import dataclasses
import os
import shutil

from pipelines.sweep.setup import Setup
from pipelines.sweep.slots import Slots
from src import command
from src.errors import InputError


def points(setup: Setup, slots: Slots) -> None:
    """Trains one batch at the corners of the space, and prints what they take.

    Raises:
        InputError: a choice does not compose, or a corner fails.
    """
    corners = [*setup.space.corners()]
    orders = []
    for number, values in enumerate(corners):
        order = setup.order(values, f"check-{os.getpid()}-{number}", threads=slots.threads)
        training = order.trainings[0]
        trainer = {**training.config["trainer"], "max_epochs": 1, "limit_batches": 1}
        training = dataclasses.replace(training, config={**training.config, "trainer": trainer})
        orders.append(dataclasses.replace(order, trainings=(training,)))
        shutil.rmtree(order.folder, ignore_errors=True)
    rows = {}
    try:
        for number, end in slots.each(orders):
            shown = " ".join(f"{key}={value}" for key, value in corners[number].items())
            if end.state != "complete":
                list(slots.stop())
                raise InputError(f"sweep.space: one batch fails at {shown}: {end.reason}")
            rows[shown] = f"{end.parameters:,} parameters, {end.memory / 2**20:,.0f} MiB"
    finally:
        for order in orders:
            shutil.rmtree(order.folder, ignore_errors=True)
    print(command.table(rows, "The extremes of the space, one batch each:"))
