"""Training epochs and predictions of the platform beside the bare loop."""

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import alternate
from benchmarks.problem import Bare, Platform

ROUNDING = 0.02  # both sides do the same arithmetic in another order: 400 steps let the losses drift apart by less
HALF = 0.1  # bfloat16 has eight bits of precision


def epoch(model: str, *settings: str, epochs: int, tolerance: float = ROUNDING, pairs: int = 5, **bare: Any) -> dict[str, Any]:
    """An epoch with validation, logging, checkpoints and the record in MLflow, over the bare one.

    Args:
        bare: what else the bare loop is asked for, channels_last or device.

    Raises:
        AssertionError: the losses after the first epoch differ by more than the tolerance's share: the two sides
            did not do the same work.
    """
    losses: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        platform = Platform(model, Path(name), accelerator=bare.get("device", "cpu"))

        def by_platform() -> float:
            seconds, losses["platform"] = platform.train(*settings, epochs=epochs)
            return seconds

        with Bare(platform, epochs=epochs) as loop:

            def by_bare() -> float:
                result = loop.ask(do="train", **bare)
                losses["bare"] = result["losses"][0]
                return result["seconds"]

            timing = alternate(by_platform, by_bare, pairs=pairs)
    assert abs(losses["platform"] - losses["bare"]) <= tolerance * losses["bare"], f"the losses differ: {losses}"
    return {**timing, "epochs": epochs, "losses": {side: round(loss, 6) for side, loss in losses.items()}}


def predict(*, pairs: int = 7) -> dict[str, Any]:
    """Predictions, conversion to a table's columns included, over the bare forward pass."""
    with tempfile.TemporaryDirectory() as name:
        platform = Platform("mlp", Path(name))
        experiment = platform.build()
        rows = experiment.prepared.index("train")

        def by_platform() -> float:
            start = time.perf_counter()
            for _ in experiment.learner.predict(experiment.data, rows):
                pass
            return time.perf_counter() - start

        with Bare(platform) as loop:
            return alternate(by_platform, lambda: loop.ask(do="predict")["seconds"], pairs=pairs)
