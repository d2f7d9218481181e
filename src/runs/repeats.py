"""Runs of one choice that differ in their seed or their fold alone, and the mean of what they reach with its interval."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FOLD = "data.dataset.split.fold"
REPEATED = ("seed", FOLD)  # keys by which runs of one choice differ


class Value(NamedTuple):
    """What a run reached, and its fold; None where its data are not divided into folds."""

    value: float
    fold: int | None


class Mean(NamedTuple):
    """The mean of several runs.

    Args:
        deviation: of a sample; None of a single run.
        interval: of the mean, at 95 %; None of a single run.
    """

    value: float
    deviation: float | None
    interval: tuple[float, float] | None


def fold(config: Mapping[str, Any]) -> int | None:
    """The fold of a run by its configuration; None where its data are not divided into folds."""
    split = ((config.get("data") or {}).get("dataset") or {}).get("split") or {}
    return split.get("fold") if split.get("folds") else None


def mean(values: Sequence[Value]) -> Mean:
    """The mean over the runs. Its interval is Student's, over seeds or, where they are several, over folds.

    The training splits of folds share most of their examples, so that their scores are not independent. The variance is
    therefore corrected by the ratio of the test to the training split, 1 / (folds - 1) (Nadeau and Bengio 2003). Seeds do not
    say what another draw of examples would change.
    """
    numbers = [one.value for one in values]
    if len(numbers) < 2:
        return Mean(statistics.fmean(numbers), None, None)
    folds = sorted({one.fold for one in values if one.fold is not None})
    by_fold = [statistics.fmean(one.value for one in values if one.fold == fold) for fold in folds]
    samples, shared = (by_fold, 1 / (len(by_fold) - 1)) if len(by_fold) > 1 else (numbers, 0.0)

    from scipy.special import stdtrit  # takes a moment to import, which a single run has no use for

    center, count = statistics.fmean(samples), len(samples)
    reach = float(stdtrit(count - 1, 0.975)) * statistics.stdev(samples) * math.sqrt(1 / count + shared)
    return Mean(statistics.fmean(numbers), statistics.stdev(numbers), (center - reach, center + reach))
