"""The best trials of a search: their checkpoints are kept, they become runs like any other, and tuned/ names their values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from pipelines.sweep.confirm import Confirmation
from pipelines.sweep.setup import Setup, trial_name
from pipelines.sweep.study import Worker
from src.config import checks, command_line
from src.errors import InUse, RunFailed
from src.runs import identity
from src.runs.files import write_atomic
from src.runs.folder import Run, choose
from src.tracking.record import Record

TUNED = Path("tuned")


class BestCheckpoints:
    """Keeps the checkpoints of the best trials of a study, and removes the others when their trials have ended."""

    def __init__(self, setup: Setup, worker: Worker):
        self._setup, self._worker = setup, worker
        self._best = self._ranked()
        for trial in worker.trials():
            if trial.state.is_finished() and trial.number not in self._best:
                self._remove(trial.number)

    def trial_ended(self, number: int) -> None:
        """Removes the checkpoints that are no longer among the best after a trial has ended."""
        best = self._ranked()
        for other in (self._best | {number}) - best:
            self._remove(other)
        self._best = best

    def _ranked(self) -> set[int]:
        return {trial.number for trial in self._worker.ranked()[: max(1, self._setup.sweep["keep"])]}

    def _remove(self, number: int) -> None:
        for folder in (trial_name(number), f"{trial_name(number)}-seed-*"):
            for path in self._setup.folder.glob(f"{folder}/*.ckpt*"):
                path.unlink(missing_ok=True)


def write_tuned(setup: Setup, worker: Worker, confirmed: Mapping[int, Confirmation]) -> None:
    """Writes tuned/NAME.yaml: the overrides of the best trial, and the nodes of the configuration that they make.

    Args:
        confirmed: what trials reached with fresh seeds, by number, the best first; empty where the search has one seed.

    Raises:
        RunFailed: no trial came to its end.
    """
    trial = worker.trial(next(iter(confirmed), _first(worker).number))
    overrides = setup.space.overrides(trial.params)
    composed = setup.composed(overrides)
    nodes = {key: composed[key] if (checks.CONF / key).is_dir() else value for key, value in overrides.items()}
    content = {"study": setup.sweep["study"], "trial": trial.number, **_values(setup, trial)}
    if confirmed:
        best = confirmed[trial.number]
        content["confirmed"] = {"mean": best.mean, "sd": best.sd, "seeds": [*best.seeds]}
    path = TUNED / f"{setup.base.name}.yaml"
    write_atomic(path, OmegaConf.to_yaml(OmegaConf.create({**content, "overrides": overrides, "nodes": nodes})).encode())
    print(f"best trial: {path}; `tuned=true` trains with its values")


def make_runs(setup: Setup, worker: Worker, *, train: bool) -> None:
    """Makes runs of the best trials from the checkpoints that they have.

    Args:
        train: whether the runs are evaluated, recorded and packaged too; else the next command with their configurations does.

    Raises:
        RunFailed: no trial came to its end.
    """
    from src.train import train as finish

    _first(worker)
    for trial in worker.ranked()[: setup.sweep["keep"]]:
        config = setup.config(setup.space.overrides(trial.params))
        digest = identity.of(config, setup.prepared.card["content"]).digest
        run = choose(Path(config["paths"]["runs"]), config["name"], digest, force=False)
        print(f"trial {trial.number}: {_shown(_values(setup, trial))}")
        try:
            with run.lock():
                if not run.fitted and not run.last.is_file():
                    _copy(setup.folder / trial_name(trial.number), run)
            if train:
                finish(OmegaConf.create(config))
        except InUse:
            print(f"trial {trial.number}: another worker makes its run.")


def record_study(setup: Setup, worker: Worker, record: Record, confirmed: Mapping[int, Confirmation]) -> None:
    """Adds the figures, the table of trials and the best values to the study's record.

    Args:
        confirmed: what trials reached with fresh seeds, by number, the best first.
    """
    from pipelines.sweep.figures import draw

    BestCheckpoints(setup, worker)  # each of several workers has looked after the trials that ended with it
    for path in draw(worker.study, setup.folder / "figures", worker.objectives):
        record.artifact(path, "figures")
    table = setup.folder / "trials.csv"
    write_atomic(table, worker.study.trials_dataframe(multi_index=False).to_csv(index=False).encode())
    record.artifact(table)
    for number, one in confirmed.items():
        print(f"trial {number} with {len(one.seeds)} fresh seeds: {one.metric} {one.mean:.4f} (sd {one.sd:.4f})")
    ranked = worker.ranked()
    if not ranked:
        return
    if worker.multi_objective:
        rows = {f"trial {trial.number}": _shown(_values(setup, trial)) for trial in worker.pareto_front()}
        print(command_line.table(rows, f"The Pareto front, {len(rows)} trials that no other one beats in every objective:"))
    best = worker.trial(next(iter(confirmed), ranked[0].number))
    record.log({f"best/{name}": value for name, value in _values(setup, best).items()}, len(worker.trials()), 0)
    record.tag("best.trial", str(best.number))
    if confirmed:
        first = confirmed[best.number]
        record.log({f"confirmed/{first.metric}": first.mean}, len(worker.trials()), 0)
        record.artifact(setup.folder / "confirm" / "confirmed.json")


def _first(worker: Worker) -> FrozenTrial:
    """The best trial.

    Raises:
        RunFailed: no trial came to its end.
    """
    ranked = worker.ranked()
    if not ranked:
        reasons = [trial.user_attrs["reason"] for trial in worker.trials() if "reason" in trial.user_attrs]
        raise RunFailed(
            f"expected a trial that comes to its end; none of the {len(worker.trials())} did"
            + (f", the last for this: {reasons[-1]}" if reasons else "")
            + ". Change the space, and name another study (sweep.study=...)."
        )
    return ranked[0]


def _values(setup: Setup, trial: FrozenTrial) -> dict[str, float]:
    """The objectives' values by name."""
    return {one.metric: value for one, value in zip(setup.objectives, trial.values, strict=True)}


def _shown(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.0f}" if value.is_integer() else f"{name} {value:.4f}" for name, value in values.items())


def _copy(folder: Path, run: Run) -> None:
    """Gives a run the training of a trial. last.ckpt comes last, because a run that has one continues from it."""
    for name in ("metrics.jsonl", "best.ckpt", "last.ckpt"):
        if (folder / name).is_file():
            shutil.copy(folder / name, run.folder / name)
