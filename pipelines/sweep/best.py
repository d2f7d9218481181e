"""The best points of a search: their weights are kept, they become runs like any other, and tuned/ says what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState

from pipelines.sweep.setup import Setup
from pipelines.sweep.study import Worker
from src import checks, identity, runs
from src.errors import InUse
from src.runs import Run
from src.tracking.record import Record

TUNED = Path("tuned")


def ranked(worker: Worker) -> list[FrozenTrial]:
    """The complete trials, the best first; of equal ones the earlier."""
    complete = [trial for trial in worker.trials() if trial.state == TrialState.COMPLETE]
    sign = -1 if worker.mode == "max" else 1
    return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


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
        return {trial.number for trial in ranked(self._worker)[: max(1, self._setup.sweep["keep"])]}

    def _remove(self, number: int) -> None:
        for path in (self._setup.folder / f"trial-{number:04d}").glob("*.ckpt*"):
            path.unlink(missing_ok=True)


def finish(setup: Setup, worker: Worker) -> None:
    """Makes runs of the best trials, from the weights that they have, and writes tuned/NAME.yaml."""
    from src.train import train

    found = ranked(worker)
    if not found:
        print("sweep: no trial came to its end, so there is no best one.")
        return
    write(setup, found[0])
    for trial in found[: setup.sweep["keep"]]:
        config = setup.config(setup.space.values(trial.params))
        name = identity.run_id(config, setup.prepared.card["content"])
        run = runs.choose(Path(config["paths"]["runs"]), config["name"], name, force=False)
        try:
            with run.lock():
                if not run.fitted and not run.last.is_file():
                    _copy(setup.folder / f"trial-{trial.number:04d}", run)
            print(f"trial {trial.number}: {setup.base.objective.metric} {trial.value:.4f}")
            train(OmegaConf.create(config))
        except InUse:
            print(f"trial {trial.number}: another worker makes its run.")


def summarise(setup: Setup, worker: Worker, record: Record) -> None:
    """Gives the study's record its figures, its table of trials and its best value."""
    from pipelines.sweep.figures import draw

    Keeper(setup, worker)  # of several workers, each has looked after the trials that ended with it
    found = ranked(worker)
    for path in draw(worker.study, setup.folder / "figures", setup.base.objective.metric):
        record.artifact(path, "figures")
    table = setup.folder / "trials.csv"
    runs.write_atomic(table, worker.study.trials_dataframe(multi_index=False).to_csv(index=False).encode())
    record.artifact(table)
    if found:
        record.log({f"best/{setup.base.objective.metric}": found[0].value}, len(worker.trials()), 0)
        record.tag("best.trial", str(found[0].number))


def write(setup: Setup, trial: FrozenTrial) -> None:
    """Writes the best overrides, and the nodes of the configuration that they make."""
    values = setup.space.values(trial.params)
    chosen = setup.open(values)
    nodes = {key: chosen[key] if (checks.CONF / key).is_dir() else value for key, value in values.items()}
    content = {
        "study": setup.sweep["study"],
        "trial": trial.number,
        setup.base.objective.metric: trial.value,
        "overrides": values,
        "nodes": nodes,
    }
    name = str(setup.base.name)
    runs.write_atomic(TUNED / f"{name}.yaml", OmegaConf.to_yaml(OmegaConf.create(content)).encode())
    print(f"best point: {TUNED / name}.yaml; `tuned=true` trains with it")


def _copy(folder: Path, run: Run) -> None:
    """Gives a run the training that a trial has done; last.ckpt comes last, for it is what a run goes on from."""
    for name in ("metrics.jsonl", "best.ckpt", "last.ckpt"):
        if (folder / name).is_file():
            shutil.copy(folder / name, run.folder / name)
