"""From a command line to a search: the configuration of each trial, and what makes two studies the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipelines.sweep import samplers
from pipelines.sweep.messages import Training, TrialSpec
from pipelines.sweep.objectives import objectives
from pipelines.sweep.parameters import Stored
from pipelines.sweep.space import Space
from pipelines.sweep.study import Worker
from src.config import assembly, checks, command_line, pairing
from src.data.store import Prepared
from src.errors import InputError
from src.protocols import Objective
from src.runs import identity
from src.runs.folder import Run
from src.runs.identity import flat
from src.runs.names import check as check_name
from src.tracking.code import Code
from src.tracking.record import Record


@dataclass(frozen=True, eq=False)
class Setup:
    """What a search varies, and the configuration around it.

    Args:
        arguments: of the command line.
        base: the configuration that they compose, without overrides of the space.
        sweep: its own node, resolved.
    """

    arguments: tuple[str, ...]
    base: DictConfig
    sweep: Mapping[str, Any]
    space: Space
    prepared: Prepared
    code: Code = field(default_factory=Code.now)

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Setup:
        """Reads the command line, checks that the space fits the configuration, and prepares the data.

        Raises:
            InputError: no sweep is chosen, or its space names a key that is not there.
        """
        base = command_line.configure(arguments)
        if "sweep" not in base:
            names = ", ".join(checks.options("sweep"))
            raise InputError(f"expected +sweep=NAME, the name of a file in conf/sweep: one of {names}.")
        if base.cluster is not None:
            raise InputError(
                "cluster: expected a search without one, because its trials are processes of this machine. Leave it out, and "
                "start the search within a job; several jobs share one study by sweep.storage."
            )
        pairing.check(base)
        node = OmegaConf.create({key: base[key] for key in ("sweep", "seed", "name", "trainer")})
        sweep: Any = OmegaConf.to_container(node.sweep, resolve=True)
        check_name("sweep.study", sweep["study"])
        space = Space(sweep["space"])
        _check_keys(base, space)
        setup = cls(tuple(arguments), base, sweep, space, assembly.prepare(base))
        if sweep["study"] == "auto":
            sweep["study"] = f"{base.name}-{identity.digest(setup.content())[:8]}"
        return setup

    @property
    def objectives(self) -> tuple[Objective, ...]:
        own: Any = OmegaConf.to_container(self.base.objective)
        return objectives(self.sweep["objectives"], own)

    @property
    def seeds(self) -> list[int]:
        """The seeds of each trial's trainings: the configuration's own and those after it."""
        return [*range(self.base.seed, self.base.seed + self.sweep["seeds"])]

    @property
    def folder(self) -> Path:
        """Of the study: its journal, its trials, its figures."""
        return Path(str(assembly.plain(self.base, "paths.runs"))) / "sweeps" / self.sweep["study"]

    def config(self, overrides: Mapping[str, object]) -> dict[str, Any]:
        """The complete configuration with these overrides, as a plain container without the sweep's own node.

        Raises:
            InputError: a choice that does not compose.
        """
        content = OmegaConf.to_container(assembly.complete(self.composed(overrides), self.prepared))
        assert isinstance(content, dict)
        return {str(key): value for key, value in content.items() if key not in ("sweep", "cluster")}

    def composed(self, overrides: Mapping[str, object]) -> DictConfig:
        """The configuration with these overrides, its interpolations still open."""
        groups = {key: value for key, value in overrides.items() if (checks.CONF / key).is_dir()}
        config = self._with_groups(tuple(sorted(groups.items()))).copy()
        for key, value in overrides.items():
            if key not in groups:
                OmegaConf.update(config, key, value, force_add=True)
        return config

    def trial_spec(
        self, overrides: Mapping[str, object], name: str, *, threads: int, seeds: Sequence[int] | None = None
    ) -> TrialSpec:
        """What the process of a trial runs.

        Args:
            name: of the trial's folder; further trainings add their seeds to it.
            threads: for each process of the trial.
            seeds: one training for each; those of the search if none are stated.
        """
        trainings = []
        for seed in self.seeds if seeds is None else seeds:
            folder = self.folder / (name if seed == self.seeds[0] else f"{name}-seed-{seed}")
            config = self.config({**overrides, "seed": seed} if self.sweep["seeds"] > 1 else overrides)
            trainings.append(Training(config, folder, {"seed": str(config["seed"])}))
        return TrialSpec(
            trainings=tuple(trainings),
            metrics=tuple(one.metric for one in self.objectives),
            prepared=self.prepared.folder,
            threads=threads,
            code=self.code,
        )

    def modules(self) -> list[str]:
        """The modules of all classes that some trial of the space may use."""
        groups = [parameter for parameter in self.space.parameters if (checks.CONF / parameter.key).is_dir()]
        options = [{parameter.key: choice} for parameter in groups for choice in parameter.choices.values()]
        nodes = [OmegaConf.to_container(self.composed(overrides)) for overrides in ({}, *options)]
        return sorted({target.rpartition(".")[0] for node in nodes for target in identity.targets(node)} - {""})

    def worker(self, instead: Path | None = None) -> Worker:
        """This command's part in the study, which is created if it does not exist.

        Args:
            instead: a folder with a journal, in place of the study's own folder and storage.
        """
        worker = Worker(
            storage=None if instead else self.sweep["storage"],
            folder=instead or self.folder,
            name=self.sweep["study"],
            objectives=self.objectives,
            sampler=lambda seed: samplers.sampler(self.sweep["sampler"], self.space, seed=seed),
            pruner=samplers.pruner(self.sweep["pruner"]),
            seed=int(self.sweep["sampler"].get("seed") or 0),
            n_trials=int(self.sweep["n_trials"]),
            grace_period=float(self.sweep["grace_period"]),
        )
        worker.initialize(self.content(), self._enqueued(), adapt=self.sweep["adapt"])
        return worker

    def record(self) -> Record:
        """The study's own record, the parent of its trials' records."""
        params = {name: self.sweep[name] for name in ("n_trials", "seeds", "sampler", "pruner", "space")}
        params["objectives"] = {one.metric: one.mode for one in self.objectives}
        return Record(
            Run(self.folder),
            tracking=assembly.plain(self.base, "tracking"),
            params=dict(flat(params)),
            dataset={key: self.prepared.card[key] for key in ("name", "content", "source", "counts")},
            tags={"experiment": str(self.base.name), "study": self.sweep["study"]},
        )

    def content(self) -> dict[str, object]:
        """What must be equal for the trials of two commands to be comparable."""
        return {
            "space": self.space.description(),
            "configuration": identity.digest(identity.training_part(self.config({}))),
            "data": self.prepared.card["content"],
            "objectives": [[one.metric, one.mode] for one in self.objectives],
            "seeds": self.sweep["seeds"],
        }

    def _enqueued(self) -> list[dict[str, Stored]]:
        """The parameters of the first trials: the experiment's own values, then those that the configuration lists."""
        own = {parameter.key: OmegaConf.select(self.base, parameter.key) for parameter in self.space.parameters}
        options = command_line.choices(self.arguments)
        own |= {key: options.get(key) for key in own if (checks.CONF / key).is_dir()}
        own = {key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for key, value in own.items()}
        enqueued = [self.space.params(own)]
        for overrides in self.sweep["enqueue"]:
            params = self.space.params(overrides)
            if len(params) != len(overrides):
                inside = self.space.overrides(params)
                outside = ", ".join(f"{key}={value}" for key, value in overrides.items() if key not in inside)
                raise InputError(f"sweep.enqueue: expected values of the space; {outside} lies outside it.")
            enqueued.append(params)
        return enqueued

    @cache  # noqa: B019 - a process has one search
    def _with_groups(self, groups: tuple[tuple[str, object], ...]) -> DictConfig:
        return command_line.configure([*self.arguments, *(f"{group}={option}" for group, option in groups)])


def trial_name(number: int) -> str:
    """The name of a trial's folder."""
    return f"trial-{number:04d}"


def _check_keys(base: DictConfig, space: Space) -> None:
    """Refuses a space with a key or an option that the configuration does not have."""
    names = [key for key, _ in checks.leaves(base) if not key.startswith("sweep.")]
    groups = [path.name for path in checks.CONF.iterdir() if path.is_dir()]
    for parameter in space.parameters:
        if parameter.condition is None and OmegaConf.select(base, parameter.key, default=...) is ...:
            raise InputError(f"sweep.space: {parameter.key}: there is no such option; {checks.nearest(parameter.key, names)}.")
        if parameter.key in groups:
            options = checks.options(parameter.key)
            for choice in parameter.choices.values():
                if choice not in options:
                    near = checks.nearest(str(choice), options)
                    raise InputError(f"sweep.space: {parameter.key}={choice}: there is no such option; {near}.")
