"""Trains, evaluates and records one run, with any Hydra override.

python -m src.train +experiment=cnn optimizer.lr=3e-4 trainer.max_epochs=5
python -m src.train +experiment=cnn --cfg job --resolve      the configuration of a run
python -m src.train -m +experiment=cnn model.width=16,32     a grid, one run after another
python -m src.train +experiment=cnn cluster=slurm            the same run as a job of a cluster
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from src.config import command_line
from src.config.plan import Plan
from src.config.summary import summary
from src.distributed import processes, rendezvous
from src.experiment import Experiment
from src.launch import worker
from src.protocols import Cost
from src.runs import locks
from src.runs.files import write_json
from src.runs.folder import Run

if TYPE_CHECKING:  # heavy imports come after the configuration is known to be good
    from src.tracking.code import Code
    from src.tracking.record import Record


def launch(config: DictConfig, *, test: bool = True, timeout: float = locks.TIMEOUT) -> Run:
    """Trains what the configuration states, or submits it to the cluster that the configuration names; gives the run.

    The arguments are those of `train`.
    """
    if config.get("cluster") is None:
        return train(config, test=test, timeout=timeout)
    from src.config import assembly
    from src.launch import cluster

    config = cluster.agreed(config)
    submitter = cluster.of(config)
    submitter.check()
    plan = Plan.of(config)
    if plan.finished(test=test):
        return plan.run
    experiment = assembly.build(plan.config, plan.prepared)
    experiment.learner.check(experiment.data)
    submitter.submit(plan.run, plan.config, test=test, timeout=timeout)
    return plan.run


def train(config: DictConfig, *, test: bool = True, timeout: float = locks.TIMEOUT, code: "Code | None" = None) -> Run:
    """Trains what the configuration states, or finds it trained, and gives its run.

    The same configuration, data and code give the same folder: a finished run is reused, an interrupted one continues.

    Args:
        test: whether the run is evaluated on the test part too.
        timeout: seconds to wait for another command that holds the run.
        code: the state of the code that the record names; as it is now where none is given.
    """
    from src.config import assembly, restoring
    from src.tracking.record import Record

    plan = Plan.of(config)
    run, trainer = plan.run, plan.config.trainer
    processes.check(trainer.get("devices", 1), trainer.get("num_nodes", 1))
    processes.check_processors(trainer.get("devices", 1), oversubscribe=trainer.get("oversubscribe", False))
    with run.lock(timeout=timeout):
        if plan.finished(test=test):
            return run
        fitted = plan.fitted
        with Record.of(run, plan.content, plan.prepared.card, code=code) as record:
            experiment = assembly.build(plan.config, plan.prepared)
            cost = experiment.learner.check(experiment.data)
            if fitted:
                experiment.learner.load(restoring.weights(run.folder))
            if fitted and test:
                if run.evaluated and plan.other_evaluation:
                    print("This run exists; nothing is trained. It is evaluated again, with other settings.")
                run.forget_test()  # where this is killed, the same command evaluates it again
            plan.begin()
            record.begin(device=experiment.learner.device)
            if not fitted:
                _fit(run, experiment, record, plan.start, cost)
            if test:
                from src.evaluation.final import evaluate_test

                evaluate_test(experiment, run, record)
    print(summary(run))
    return run


def _fit(run: Run, experiment: Experiment, record: "Record", start: Path | None, cost: Cost) -> None:
    from src.config import assembly
    from src.evaluation import scoring
    from src.tracking import raw_inputs
    from src.tracking.system_metrics import Others

    others = Others()
    fit = experiment.learner.fit(
        experiment.data,
        folder=run.folder,
        sink=record,
        resume=start / "last.ckpt" if start else None,
    )
    load = round(others.load(), 3)
    print("evaluating the val split, and packaging the model", file=sys.stderr)
    result = scoring.evaluate(experiment, "val")
    example = experiment.learner.exported_example(experiment.data, experiment.data.rows("train")[:4])
    package = experiment.learner.package(run.folder / "model", example)
    record.model(raw_inputs.add(package, run.folder / "model", experiment.data, assembly.data_node(experiment.config)))
    for path in (run.best, run.last):
        if path.is_file():
            record.artifact(path, "checkpoints")
    sizes = {"parameters": cost.parameters, **({"flops": cost.flops} if cost.flops is not None else {})}
    numbers = {"epochs": fit.epochs, "best_epoch": fit.best_epoch, "steps": fit.steps, **sizes}
    record.log({f"best/{name}": value for name, value in {**result.metrics, **numbers}.items()}, fit.steps, fit.epochs)
    record.flush()  # ends the command where somebody deleted the folder: metrics.json alone would be a finished run
    speed = fit.examples / max(fit.seconds, 1e-9)
    write_json(run.timings, {"fit_seconds": fit.seconds, "examples_per_second": speed, "fit_load_of_others": load})
    write_json(run.intervals, result.intervals)
    write_json(run.metrics, {**numbers, **result.metrics})


if __name__ == "__main__":
    if processes.rank() > 0:  # one of several that torchrun has started
        sys.exit(worker.main())
    with rendezvous.dismissing():
        command_line.main(launch)
