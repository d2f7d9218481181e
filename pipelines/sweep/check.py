"""Before a search: every choice composes, and the extremes of the space pass a real batch."""

from __future__ import annotations

import dataclasses
import os
import shutil
from typing import Any

from pipelines.sweep.orders import End, Order
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
        shutil.rmtree(order.folder, ignore_errors=True)
        trainer = {**order.config["trainer"], "max_epochs": 1, "limit_batches": 1}
        orders.append(dataclasses.replace(order, config={**order.config, "trainer": trainer}))
    try:
        rows = _try(corners, orders, slots)
    finally:
        list(slots.stop())  # an interrupted check leaves trials behind, which do not hear signals
        for order in orders:
            shutil.rmtree(order.folder, ignore_errors=True)
    print(command.table(rows, "The extremes of the space, one batch each:"))


def _try(corners: list[dict[str, Any]], orders: list[Order], slots: Slots) -> dict[str, str]:
    rows: dict[str, str] = {}
    waiting = list(enumerate(orders))
    while waiting or slots.running:
        while waiting and slots.free:
            number, order = waiting.pop(0)
            slots.start(order, number)
        for process, message in slots.messages(1.0):
            if not isinstance(message, End):
                process.answer(False)
                continue
            values = corners[process.trial]
            shown = " ".join(f"{key}={value}" for key, value in values.items())
            if message.state != "complete":
                raise InputError(f"sweep.space: one batch fails at {shown}: {message.reason}")
            rows[shown] = f"{message.parameters:,} parameters, {message.memory / 2**20:,.0f} MiB"
    return rows
