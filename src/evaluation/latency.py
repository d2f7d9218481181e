"""How long a prediction takes."""

import time

import numpy as np

from src.experiment import Experiment
from src.tracking.system_metrics import Others

FEWEST, MOST = 3, 20  # calls that are timed


def latency(experiment: Experiment, *, budget: float = 0.2) -> dict[str, float]:
    """Median milliseconds of a prediction for one example and for a batch, preprocessing included, and the load meanwhile.

    Args:
        budget: seconds for each of the two, after a first call that is not counted; at least three calls are.
    """
    medians, others = {}, Others()
    rows = experiment.data.rows("val")
    for name, size in (("one", 1), ("batch", experiment.data.batch_size)):
        chosen = np.resize(rows, size)
        seconds: list[float] = []
        while len(seconds) <= FEWEST or (sum(seconds) < budget and len(seconds) <= MOST):
            start = time.perf_counter()
            for _ in experiment.learner.predict(experiment.data, chosen, fill=False):
                pass
            seconds.append(time.perf_counter() - start)
        medians[f"latency_{name}_ms"] = 1000 * float(np.median(seconds[1:]))
    return {**medians, "latency_load_of_others": round(others.load(), 3)}
