"""One stage of one experiment, from its resolved file in build/: `python -m pipelines.stage train cnn`.

The stages are prepare, sweep, train and evaluate. Each does what the verbs of src do, in the same run folder, and copies to
results/ what the next stages and `dvc pull` need. Nothing there depends on this machine or on the time, except
timings.json and run.json, which says where and when the run was trained.

A stage whose pipeline was killed ends as it does by SIGTERM. The stage of the next pipeline waits for it and continues.
"""

import hashlib
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from pipelines import provenance, watchdog
from pipelines.params import Params
from pipelines.results import REPRO, RESULTS
from src.config import command_line, composition, machine, trust
from src.errors import InputError
from src.experiment import Experiment
from src.runs import identity
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import EXPORTED_KEYS, Run, choose

if TYPE_CHECKING:
    import pandas as pd

EVALUATED = "evaluated.json"  # in the run folder: the digest of all that its evaluation depends on


def prepare(name: str) -> None:
    """Prepares the data; writes their card."""
    from src.config import assembly

    config = load(name)
    prepared = assembly.prepare(config)
    assembly.complete(config, prepared)
    write_json(_inputs(name) / "card.json", prepared.card)


def sweep(name: str) -> None:
    """Searches; writes the best values for the training, and the table and the figures of the search."""
    folder, tuned = RESULTS / name / "search", _inputs(name) / "tuned.yaml"
    shutil.rmtree(folder, ignore_errors=True)
    if _build(name).code.sweep is None:  # an experiment that is not listed
        write_atomic(tuned, b"nodes: {}\n")
        write_atomic(folder / "trials.csv", b"number,state\n")
        return
    import pandas as pd

    from pipelines.sweep.__main__ import sweep as search

    overrides = [f"+experiment={name}", *Params.read().sweeps[name], "sweep.study=auto", "tracking.wait=0.0"]
    study = search(overrides, train=False)
    shutil.copytree(study / "figures", folder / "figures", ignore=shutil.ignore_patterns("timeline.png"))
    shutil.copy(Path("tuned") / f"{name}.yaml", tuned)
    table = pd.read_csv(study / "trials.csv")
    own = [name for name in table if str(name).startswith(("number", "value", "params_", "state", "user_attrs_by_seed"))]
    write_atomic(folder / "trials.csv", table[own].to_csv(index=False).encode())
    write_json(folder / "run.json", {"folder": str(study)})


def train(name: str) -> None:
    """Trains, or finds the run trained; writes its weights, configuration and validation metrics.

    Where params.yaml names a cluster, a job trains the run, and the stage waits for it. The run is evaluated here too, where
    everything is loaded already: the evaluate stage copies what it finds.
    """
    from src.config import restoring
    from src.train import launch

    config = load(name)
    if _build(name).code.sweep is not None:
        config = composition.tune(config, path=_inputs(name) / "tuned.yaml")
    chosen = Params.read().cluster or "none"
    if (cluster := composition.compose([f"cluster={chosen}"]).cluster) is not None:
        config.cluster = {**cluster, "wait": True}
    run = launch(config, test=False, timeout=math.inf)
    model = _model(name)
    shutil.rmtree(model, ignore_errors=True)
    experiment = restoring.restore(run.folder, overrides=_local_settings(name))
    experiment.learner.export(model)
    kept = {key: value for key, value in experiment.config.items() if key not in ("paths", "tracking", "force", "resume")}
    write_atomic(model / "config.yaml", OmegaConf.to_yaml(kept).encode())
    write_json(Run(model).data, experiment.prepared.card)
    metrics = {key: value for key, value in read_json(run.metrics).items() if not key.startswith("test/")}
    write_json(model / "metrics.json", metrics)
    if not _is_evaluated(name, run):
        _evaluate(name, run, experiment)


def evaluate(name: str) -> None:
    """Evaluates the test split with the weights of the train stage; writes predictions, numbers and figures."""
    from src.evaluation.curves import table

    run = _run(name)
    if not _is_evaluated(name, run):
        from src.config import restoring

        _evaluate(name, run, restoring.restore(_model(name), overrides=_local_settings(name)))
    folder = RESULTS / name / "evaluation"
    for old in (folder, RESULTS / name / "figures"):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (run.predictions, run.metrics, run.intervals, run.timings, run.evaluation_settings, run.analyses):
        shutil.copy(path, folder)
    shutil.copytree(run.figures, RESULTS / name / "figures")
    if any(run.tables.glob("*.csv")):
        shutil.copytree(run.tables, folder / "tables")
    write_json(folder / "run.json", {"folder": str(run.folder), **provenance.of_record(read_json(run.record))})
    metrics = read_json(run.metrics)
    if not (classes := per_class(metrics)).empty:
        write_atomic(folder / "per_class.csv", classes.to_csv().encode())
    write_json(RESULTS / name / "metrics.json", headline(metrics, read_json(run.evaluation_settings)["evaluation"]["headline"]))
    write_atomic(RESULTS / name / "learning.csv", table(run.journal).to_csv(index=False).encode())


def headline(metrics: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    """The few numbers that fit into a line of `dvc metrics show`: those of the test split that the task names, and the size."""
    keys = [*(f"test/{name}" for name in names), "parameters"]
    return {key: metrics[key] for key in keys if key in metrics}


def per_class(metrics: Mapping[str, float]) -> "pd.DataFrame":
    """The metrics that each class has of its own, such as test/recall/CLASS: a row a class, empty where there are none."""
    import pandas as pd

    rows: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        match name.split("/", 2):
            case [split, metric, label]:
                rows.setdefault(label, {})[f"{split}/{metric}"] = value
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def load(name: str) -> DictConfig:
    """The resolved file of an experiment, without what belongs to the pipeline alone."""
    config = _build(name)
    del config.code, config.sweep
    config = machine.localised(config, Path("build") / f"{name}.yaml")
    config.tracking.wait = 0.0  # the upload continues beside the next stage; the report waits for it
    return config


def _build(name: str) -> DictConfig:
    path = Path("build") / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"{path}: expected the file that `dvc repro compose` writes; there is none.")
    return trust.load(path, keys=("code",), remedy=REPRO)  # that of an experiment that is not listed has nothing else


def _local_settings(name: str) -> dict[str, Any]:
    """The parts of an experiment's configuration that its trained model does not decide."""
    content: Any = OmegaConf.to_container(load(name), resolve=False)
    return {key: content[key] for key in ("paths", "tracking", *identity.EVALUATION)}


def _inputs(name: str) -> Path:
    """What the training takes besides its configuration: the card of the data, and the best values of a search."""
    return RESULTS / name / "inputs"


def _model(name: str) -> Path:
    return RESULTS / name / "model"


def _run(name: str) -> Run:
    """The run whose model the train stage wrote."""
    config: Any = OmegaConf.to_container(trust.load(_model(name) / "config.yaml", keys=EXPORTED_KEYS, remedy=REPRO))
    content = read_json(_inputs(name) / "card.json", keys=("content",), remedy=REPRO)["content"]
    return choose(Path(load(name).paths.runs), config["name"], identity.of(config, content).digest, force=False)


def _evaluate(name: str, run: Run, experiment: Experiment) -> None:
    from src.evaluation.final import evaluate_test
    from src.tracking.record import Record

    with run.lock(timeout=math.inf):
        if not run.fitted:  # trained on another machine, and pulled from there
            shutil.copytree(_model(name), run.folder, dirs_exist_ok=True)
        (run.folder / EVALUATED).unlink(missing_ok=True)
        with Record.of(run, experiment.config, experiment.prepared.card) as record:
            record.begin(device=experiment.learner.device)
            evaluate_test(experiment, run, record)
        write_json(run.folder / EVALUATED, {"digest": _evaluation_digest(name, run)})


def _is_evaluated(name: str, run: Run) -> bool:
    """Whether the run folder has the evaluation of these weights, by these settings and this code."""
    digest = read_json(run.folder / EVALUATED, remedy=f"Delete it. {REPRO}").get("digest")
    return run.evaluated and digest == _evaluation_digest(name, run)


def _evaluation_digest(name: str, run: Run) -> str:
    """The digest of what an evaluation depends on, and of its metrics, which another evaluation of the run may replace."""
    (weights,) = _model(name).glob("weights.*")
    settings = {key: value for key, value in _local_settings(name).items() if key in identity.EVALUATION}
    code, digest = _build(name).code.evaluate, hashlib.sha256(weights.read_bytes()).hexdigest()
    return identity.digest({"weights": digest, "settings": settings, "code": code, "metrics": read_json(run.metrics)})


def main(arguments: Sequence[str]) -> None:
    stages = {"prepare": prepare, "sweep": sweep, "train": train, "evaluate": evaluate}
    if len(arguments) != 2 or arguments[0] not in stages:
        raise InputError(
            f"expected one of {', '.join(stages)} and the name of an experiment; received {' '.join(arguments)!r}."
        )
    watchdog.watch()
    stages[arguments[0]](arguments[1])


if __name__ == "__main__":
    sys.exit(command_line.call(main, sys.argv[1:]))
