"""One stage of one experiment, from its resolved file in build/: `python -m pipelines.stage train cnn`.

A stage does what the verbs of src do, in the same run folder, and copies to results/ what the next stages and
`dvc pull` need: nothing there depends on this machine or on the time, but for timings.json.

A stage whose pipeline was killed leaves, as it does for SIGTERM; the stage of the next one waits for it and goes on.
"""

import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from omegaconf import DictConfig, OmegaConf

from src.config import command_line, composition
from src.errors import InputError
from src.runs import identity
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run, choose

RESULTS = Path("results")
MARK = "DVC_STAGE"  # in the environment of whatever dvc runs


def prepare(name: str) -> None:
    """Prepares the data; leaves its card."""
    from src.config import assembly

    config = load(name)
    prepared = assembly.prepare(config)
    assembly.complete(config, prepared)
    write_json(RESULTS / name / "card.json", prepared.card)


def sweep(name: str) -> None:
    """Searches where params.yaml asks for it; leaves the best point in tuned/, or none, and what the search looked like."""
    folder = RESULTS / name / "search"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    params: Any = OmegaConf.to_container(OmegaConf.load("params.yaml"))
    settings = (params.get("sweeps") or {}).get(name)
    if settings is None:
        write_atomic(Path("tuned") / f"{name}.yaml", b"nodes: {}  # params.yaml asks for no search\n")
        return
    import pandas as pd

    from pipelines.sweep.__main__ import sweep

    study = sweep([f"+experiment={name}", *settings, "sweep.study=auto", "tracking.wait=0.0"])
    shutil.copytree(study / "figures", folder / "figures", ignore=shutil.ignore_patterns("timeline.png"))
    shutil.copy(Path("tuned") / f"{name}.yaml", folder / "best.yaml")
    table = pd.read_csv(study / "trials.csv")
    own = [name for name in table if str(name).startswith(("number", "value", "params_", "state", "user_attrs_by_seed"))]
    write_atomic(folder / "trials.csv", table[own].to_csv(index=False).encode())
    write_json(folder / "run.json", {"folder": str(study)})


def train(name: str) -> None:
    """Trains, or finds the run trained; leaves its weights, configuration and validation metrics.

    Where params.yaml names a cluster, a job trains the run, and the stage waits for it.
    """
    from src.config import assembly
    from src.train import launch

    config = composition.tune(load(name))
    chosen = OmegaConf.select(OmegaConf.load("params.yaml"), "cluster") or "none"
    if (cluster := composition.compose([f"cluster={chosen}"]).cluster) is not None:
        config.cluster = {**cluster, "wait": True}
    run = launch(config, test=False, timeout=math.inf)
    folder = RESULTS / name / "model"
    shutil.rmtree(folder, ignore_errors=True)
    experiment = assembly.restore(run.folder)
    experiment.learner.export(folder)
    kept = {key: value for key, value in experiment.config.items() if key not in ("paths", "tracking", "force", "resume")}
    write_atomic(folder / "config.yaml", OmegaConf.to_yaml(kept).encode())
    metrics = {key: value for key, value in read_json(run.metrics).items() if not key.startswith("test/")}
    write_json(folder / "metrics.json", metrics)


def evaluate(name: str) -> None:
    """Evaluates the test part with the weights that train left; leaves predictions, numbers and figures."""
    from src.config import assembly
    from src.evaluation.curves import table
    from src.evaluation.final import evaluate_test
    from src.tracking.record import Record

    place = OmegaConf.to_container(load(name), resolve=False)
    assert isinstance(place, dict)
    model = RESULTS / name / "model"
    experiment = assembly.restore(model, place={key: place[key] for key in ("paths", "tracking", *identity.EVALUATION)})
    run = _run(experiment.config, experiment.prepared.card["content"])
    with run.lock(timeout=math.inf):
        if not run.fitted:  # trained on another machine, and pulled from there
            shutil.copytree(model, run.folder, dirs_exist_ok=True)
        with Record.of(run, experiment.config, experiment.prepared.card) as record:
            record.begin(device=experiment.learner.device)
            evaluate_test(experiment, run, record)
    folder = RESULTS / name / "evaluation"
    for old in (folder, RESULTS / name / "figures"):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (run.predictions, run.intervals, run.timings, run.evaluation_settings):
        shutil.copy(path, folder)
    shutil.copytree(run.figures, RESULTS / name / "figures")
    if any(run.tables.glob("*.csv")):
        shutil.copytree(run.tables, folder / "tables")
    write_json(folder / "run.json", {"folder": str(run.folder)})
    write_json(RESULTS / name / "metrics.json", read_json(run.metrics))
    write_atomic(RESULTS / name / "learning.csv", table(run.journal).to_csv(index=False).encode())


def load(name: str) -> DictConfig:
    """The resolved file of an experiment, without what belongs to the pipeline alone."""
    path = Path("build") / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"{path}: expected the file that `dvc repro compose` writes; there is none.")
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    del config.code, config.sweep
    config.tracking.wait = 0.0  # the courier goes on beside the next stage; the report waits for it
    return config


def _run(config: Any, content: str) -> Run:
    digest = identity.of(config, content).digest
    return choose(Path(config["paths"]["runs"]), config["name"], digest, force=False)


def _leave_with_pipeline() -> None:
    """Watches the dvc that started this stage, and none where a user did.

    DVC marks the environment of its stages, not its own: between it and this process there may be a shell, which lives on.
    """
    first, parent = psutil.Process(), psutil.Process().parent()
    if MARK not in os.environ or parent is None:
        return
    while MARK in _environment(parent) and (above := parent.parent()):
        first, parent = parent, above
    started_by = parent.pid

    def watch() -> None:
        while first.is_running() and first.ppid() == started_by:  # an orphan has another parent
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def main(arguments: Sequence[str]) -> None:
    stages = {"prepare": prepare, "sweep": sweep, "train": train, "evaluate": evaluate}
    if len(arguments) != 2 or arguments[0] not in stages:
        raise InputError(
            f"expected one of {', '.join(stages)} and the name of an experiment; received {' '.join(arguments)!r}."
        )
    _leave_with_pipeline()
    stages[arguments[0]](arguments[1])


if __name__ == "__main__":
    sys.exit(command_line.guard(lambda: main(sys.argv[1:])))
