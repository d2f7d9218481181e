"""The best points of a search: their weights are kept, they become runs like any other, and tuned/ says what they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from pipelines.sweep.setup import Setup, named
from pipelines.sweep.study import Worker
from src.config import checks, command_line
from src.errors import InUse, RunFailed
from src.runs import identity
from src.runs.files import write_atomic
from src.runs.folder import Run, choose
from src.tracking.record import Record

TUNED = Path("tuned")


class Keeper:
    """Keeps the weights of the best trials of a study, and removes the others' as soon as they are none of them."""

    def __init__(self, setup: Setup, worker: Worker):
        self._setup, self._worker = setup, worker
        self._kept = self._best()
        for trial in worker.trials():
            if trial.state.is_finished() and trial.number not in self._kept:
                self._remove(trial.number)

    def ended(self, number: int) -> None:
        """Looks at the weights again after a trial has ended."""
        best = self._best()
        for other in (self._kept | {number}) - best:
            self._remove(other)
        self._kept = best

    def _best(self) -> set[int]:
        return {trial.number for trial in self._worker.ranked()[: max(1, self._setup.sweep["keep"])]}

    def _remove(self, number: int) -> None:
        for folder in (named(number), f"{named(number)}-seed-*"):
            for path in self._setup.folder.glob(f"{folder}/*.ckpt*"):
                path.unlink(missing_ok=True)


def finish(setup: Setup, worker: Worker, confirmed: Mapping[int, Mapping[str, Any]] | None) -> None:
    """Makes runs of the best trials, from the weights that they have, and writes tuned/NAME.yaml.

    Args:
        confirmed: what trials reached with fresh seeds, the best first; None where another worker writes tuned/NAME.yaml.
    """
    from src.train import train

    found = worker.ranked()
    if not found:
        reasons = [trial.user_attrs["reason"] for trial in worker.trials() if "reason" in trial.user_attrs]
        raise RunFailed(
            f"expected a trial that comes to its end; none of the {len(worker.trials())} did"
            + (f", the last for this: {reasons[-1]}" if reasons else "")
            + ". Change the space, and name another study (sweep.study=...)."
        )
    if confirmed is not None:
        first = next(iter(confirmed), found[0].number)
        _write(setup, worker.trials()[first], confirmed.get(first, {}))
    for trial in found[: setup.sweep["keep"]]:
        config = setup.config(setup.space.values(trial.params))
        digest = identity.of(config, setup.prepared.card["content"]).digest
        run = choose(Path(config["paths"]["runs"]), config["name"], digest, force=False)
        try:
            with run.lock():
                if not run.fitted and not run.last.is_file():
                    _copy(setup.folder / named(trial.number), run)
            print(f"trial {trial.number}: {_shown(_values(setup, trial))}")
            train(OmegaConf.create(config))
        except InUse:
            print(f"trial {trial.number}: another worker makes its run.")


def summarise(setup: Setup, worker: Worker, record: Record, confirmed: Mapping[int, Mapping[str, Any]]) -> None:
    """Gives the study's record its figures, its table of trials and its best values."""
    from pipelines.sweep.figures import draw

    Keeper(setup, worker)  # of several workers, each has looked after the trials that ended with it
    found = worker.ranked()
    for path in draw(worker.study, setup.folder / "figures", worker.objectives):
        record.artifact(path, "figures")
    table = setup.folder / "trials.csv"
    write_atomic(table, worker.study.trials_dataframe(multi_index=False).to_csv(index=False).encode())
    record.artifact(table)
    for number, one in confirmed.items():
        print(f"trial {number} with {len(one['seeds'])} fresh seeds: {one['metric']} {one['mean']:.4f} (sd {one['sd']:.4f})")
    if not found:
        return
    if worker.several:
        rows = {f"trial {trial.number}": _shown(_values(setup, trial)) for trial in worker.front()}
        print(command_line.table(rows, f"The {len(rows)} points that no other one beats in every objective:"))
    best = worker.trials()[next(iter(confirmed), found[0].number)]
    record.log({f"best/{name}": value for name, value in _values(setup, best).items()}, len(worker.trials()), 0)
    record.tag("best.trial", str(best.number))
    if confirmed:
        first = confirmed[best.number]
        record.log({f"confirmed/{first['metric']}": first["mean"]}, len(worker.trials()), 0)
        record.artifact(setup.folder / "confirm" / "confirmed.json")


def _write(setup: Setup, trial: FrozenTrial, confirmed: Mapping[str, Any]) -> None:
    """Writes the best overrides, and the nodes of the configuration that they make."""
    values = setup.space.values(trial.params)
    chosen = setup.open(values)
    nodes = {key: chosen[key] if (checks.CONF / key).is_dir() else value for key, value in values.items()}
    content = {
        "study": setup.sweep["study"],
        "trial": trial.number,
        **_values(setup, trial),
        **({"confirmed": {key: confirmed[key] for key in ("mean", "sd", "seeds")}} if confirmed else {}),
        "overrides": values,
        "nodes": nodes,
    }
    name = str(setup.base.name)
    write_atomic(TUNED / f"{name}.yaml", OmegaConf.to_yaml(OmegaConf.create(content)).encode())
    print(f"best point: {TUNED / name}.yaml; `tuned=true` trains with it")


def _values(setup: Setup, trial: FrozenTrial) -> dict[str, float]:
    """The objectives' values by name."""
    return {one.metric: value for one, value in zip(setup.objectives, trial.values, strict=True)}


def _shown(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.0f}" if value.is_integer() else f"{name} {value:.4f}" for name, value in values.items())


def _copy(folder: Path, run: Run) -> None:
    """Gives a run the training that a trial has done; last.ckpt comes last, for it is what a run goes on from."""
    for name in ("metrics.jsonl", "best.ckpt", "last.ckpt"):
        if (folder / name).is_file():
            shutil.copy(folder / name, run.folder / name)
