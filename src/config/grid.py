"""The table at the end of a grid (-m): the scores of each choice, with mean, deviation and interval over its seeds or folds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from src.config import sources, text_table
from src.runs import headline, repeats
from src.runs.files import REMEDY, read_json
from src.runs.folder import Run
from src.runs.repeats import FOLD, REPEATED, Mean, Value


class Job(NamedTuple):
    """A run of a grid, and the overrides that it was started by; None where it failed."""

    overrides: Sequence[str]
    run: Run | None


def table(jobs: Sequence[Job]) -> str:
    """One line for each choice of overrides: those that differ between the runs, less seed and fold, and the headline's scores.

    The deviation is that of a sample of seeds or folds. Below it stands the interval of the mean. A run that is not finished is
    left out.
    """
    chosen: dict[str, list[Mapping[str, Value]]] = {}
    for job, name in zip(jobs, _names(jobs), strict=True):
        if job.run is not None and job.run.fitted:
            chosen.setdefault(name, []).append(_scores(job.run))
    metrics = list(dict.fromkeys(metric for runs in chosen.values() for scores in runs for metric in scores))
    with_seeds = any(len(runs) > 1 for runs in chosen.values())
    lines = [["", *([("runs" if _folds(jobs) else "seeds")] if with_seeds else []), *metrics]]
    for name, runs in chosen.items():
        values = [[scores[metric] for scores in runs if metric in scores] for metric in metrics]
        means = [repeats.mean(each) if each else None for each in values]
        lines.append([name, *([str(len(runs))] if with_seeds else []), *map(_cell, means)])
        if len(runs) > 1:
            lines.append(["  95 %", "", *map(_interval, means)])
    return "\n".join(
        [
            f"grid: {sum(map(len, chosen.values()))} of {len(jobs)} runs are finished",
            *(f"  {row}" for row in text_table.lines(lines)),
        ]
    )


def _names(jobs: Sequence[Job]) -> list[str]:
    """What is different about each run: its overrides that not all runs have, less seed and fold."""
    shared = set.intersection(*({*job.overrides} for job in jobs)) if jobs else set()
    varied = [[one for one in job.overrides if one not in shared and one.partition("=")[0] not in REPEATED] for job in jobs]
    return [" ".join(own) or ("all folds" if _folds(jobs) else "all seeds") for own in varied]


def _folds(jobs: Sequence[Job]) -> bool:
    """Whether the runs differ in their folds."""
    return len({one for job in jobs for one in job.overrides if one.startswith(f"{FOLD}=")}) > 1


def _scores(run: Run) -> dict[str, Value]:
    config: Any = OmegaConf.to_container(sources.load(run.config, keys=("evaluation",), remedy=REMEDY))
    fold = repeats.fold(config)
    return {name: Value(value, fold) for name, value in headline.scores(config, read_json(run.metrics)).items()}


def _cell(mean: Mean | None) -> str:
    if mean is None:
        return "-"
    return f"{mean.value:.4f}" + ("" if mean.deviation is None else f" ± {mean.deviation:.4f}")


def _interval(mean: Mean | None) -> str:
    if mean is None or mean.interval is None:
        return "-"
    low, high = mean.interval
    return f"{low:.4f} to {high:.4f}"
