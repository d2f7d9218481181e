"""One run: `python -m src.train +experiment=cnn`, with any Hydra override. Trains, evaluates and records it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from src.config import command_line
from src.distributed import processes, rendezvous
from src.errors import InputError
from src.launch import worker
from src.protocols import Cost
from src.runs import identity, locks
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run, choose

if TYPE_CHECKING:  # heavy imports come after the configuration is known to be good
    from src.config.assembly import Experiment
    from src.data.store import Prepared
    from src.tracking.code import Code
    from src.tracking.record import Record


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and in which folder.

    Args:
        config: complete.
        start: the run that is trained further, None where the weights are fresh.
    """

    config: DictConfig
    prepared: "Prepared"
    start: Path | None
    run: Run

    @property
    def content(self) -> dict[str, Any]:
        return OmegaConf.to_container(self.config)  # type: ignore[return-value]

    @property
    def fitted(self) -> bool:
        return self.run.fitted and (self.run.recorded or self.run.packaged)  # else its numbers may not be in the record

    @property
    def evaluated_otherwise(self) -> bool:
        """Whether the run was evaluated by other settings than these, which are no part of what it is."""
        before = read_json(self.run.evaluation_settings)
        return any(before.get(key) != self.content.get(key) for key in identity.EVALUATION)

    def finished(self, *, test: bool) -> bool:
        """Whether there is nothing left to do, which is then said."""
        if not (self.run.fitted and self.run.recorded) or (test and (not self.run.evaluated or self.evaluated_otherwise)):
            return False
        print(f"This run exists; nothing is trained. force=true trains it again beside it.\n{summary(self.run)}")
        from src.tracking import handover

        handover.send(self.run)
        return True


def launch(config: DictConfig, *, test: bool = True, patience: float = locks.PATIENCE) -> Run:
    """Trains what the configuration says, or has the cluster do so that it names, and gives the run."""
    if config.get("cluster") is None:
        return train(config, test=test, patience=patience)
    from src.config import assembly
    from src.launch import submission

    config = submission.settle(config)
    cluster = assembly.cluster(config)
    cluster.check()
    plan = _plan(config)
    if plan.finished(test=test):
        return plan.run
    experiment = assembly.build(plan.config, plan.prepared)
    experiment.learner.check(experiment.data)
    cluster.submit(plan.run, plan.config, test=test, patience=patience)
    return plan.run


def train(config: DictConfig, *, test: bool = True, patience: float = locks.PATIENCE, code: "Code | None" = None) -> Run:
    """Trains what the configuration says, or finds it trained, and gives its run.

    The same configuration, data and code give the same folder: a finished run is reused, an interrupted one goes on.

    Args:
        test: whether the test part is evaluated too.
        patience: seconds to wait for another command that holds the run.
        code: that the record states; as it is now where none is given.
    """
    from src.config import assembly
    from src.tracking.record import Record

    plan = _plan(config)
    run, trainer = plan.run, plan.config.trainer
    processes.check(trainer.get("devices", 1), trainer.get("num_nodes", 1))
    with run.lock(patience=patience):
        if plan.finished(test=test):
            return run
        fitted = plan.fitted
        with Record.of(run, plan.content, plan.prepared.card, code=code) as record:
            experiment = assembly.build(plan.config, plan.prepared)
            cost = experiment.learner.check(experiment.data)
            if fitted:
                experiment.learner.load(assembly.weights(run.folder))
            if fitted and test:
                if run.evaluated and plan.evaluated_otherwise:
                    print("This run exists; nothing is trained. Its evaluation has other settings, and is made anew.")
                run.forget_test()  # where this is killed, the same command evaluates it again
            write_atomic(run.config, OmegaConf.to_yaml(plan.config).encode())
            record.begin(device=experiment.learner.device)
            if not fitted:
                _fit(run, experiment, record, plan.start, cost)
            if test:
                from src.evaluation.final import evaluate_test

                evaluate_test(run, experiment, record)
    print(summary(run))
    return run


def summary(run: Run) -> str:
    """The short table at the end of a run, and where the run lies."""
    metrics, timings = read_json(run.metrics), read_json(run.timings)
    rows = {"best epoch": f"{metrics['best_epoch']} of {metrics['epochs']}", **_headline(run, metrics)}
    if "fit_seconds" in timings:
        rows["training seconds"] = f"{timings['fit_seconds']:.1f}"
    rows["parameters"] = metrics["parameters"]
    return f"{command_line.table(rows)}\nrun: {run.folder}"


def _headline(run: Run, metrics: dict[str, Any]) -> dict[str, str]:
    intervals, shown = read_json(run.intervals), {}
    for part in ("val", "test"):
        for name in OmegaConf.load(run.config).evaluation.headline:
            key = f"{part}/{name}"
            if key in metrics:
                low, high = intervals.get(key, (None, None))
                shown[key] = f"{metrics[key]:.4f}" + (f"  (95 %: {low:.4f} to {high:.4f})" if low is not None else "")
    return shown


def _plan(config: DictConfig) -> Plan:
    from src.config import assembly

    config = config.copy()
    config.pop("cluster", None)  # where a run is trained does not belong to it
    prepared = assembly.prepare(config)
    config = assembly.complete(config, prepared)
    content: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    start = Path(content["resume"]) if content["resume"] else None
    if start and not (start / "last.ckpt").is_file():
        raise InputError(
            f"resume={start}: expected a run with a last.ckpt; there is none. Repeat its own command to continue it."
        )
    name = identity.run_id(content, prepared.card["content"], start=start.name if start else None)
    run = choose(Path(content["paths"]["runs"]), content["name"], name, force=content["force"])
    return Plan(config, prepared, start, run)


def _fit(run: Run, experiment: "Experiment", record: "Record", start: Path | None, cost: Cost) -> None:
    from src.evaluation import core

    fit = experiment.learner.fit(
        experiment.data,
        folder=run.folder,
        sink=record,
        resume=start / "last.ckpt" if start else None,
    )
    result = core.evaluate(experiment, "val")
    example = experiment.data.inputs(experiment.data.rows("train")[:4]).astype("float32")
    record.model(experiment.learner.package(run.folder / "model", example))
    for path in (run.best, run.last):
        if path.is_file():
            record.artifact(path, "checkpoints")
    sizes = {"parameters": cost.parameters, **({"flops": cost.flops} if cost.flops is not None else {})}
    numbers = {"epochs": fit.epochs, "best_epoch": fit.best_epoch, "steps": fit.steps, **sizes}
    record.log({f"best/{name}": value for name, value in {**result.metrics, **numbers}.items()}, fit.steps, fit.epochs)
    write_json(run.timings, {"fit_seconds": fit.seconds, "examples_per_second": fit.examples / max(fit.seconds, 1e-9)})
    write_json(run.intervals, result.intervals)
    write_json(run.metrics, {**numbers, **result.metrics})


if __name__ == "__main__":
    if processes.rank() > 0:  # one of several that torchrun has started
        sys.exit(worker.main())
    with rendezvous.dismissing():
        command_line.main(launch)
