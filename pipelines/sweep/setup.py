"""From a command line to a search: the configuration of each point, frozen, and what makes two studies the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from pipelines.sweep.messages import Order, Training
from pipelines.sweep.objectives import Objective, objectives
from pipelines.sweep.space import Space
from pipelines.sweep.study import CONSTANT, Worker
from src.config import assembly, checks, command_line
from src.data.store import Prepared
from src.errors import InputError
from src.runs import identity
from src.runs.folder import Run
from src.runs.identity import flat
from src.tracking.code import Code
from src.tracking.record import Record


@dataclass(frozen=True, eq=False)
class Setup:
    """One search: what varies, and around what.

    Args:
        arguments: the command line's, of which `sweep` is made and each point.
    """

    arguments: tuple[str, ...]
    base: DictConfig
    sweep: Mapping[str, Any]
    space: Space
    prepared: Prepared
    code: Code = field(default_factory=Code.now)

    @classmethod
    def of(cls, arguments: list[str]) -> Setup:
        """Reads the command line and checks that the space fits the configuration.

        Raises:
            InputError: no sweep is chosen, or its space names a key that is not there.
        """
        base = command_line.configure(arguments)
        if "sweep" not in base:
            names = ", ".join(checks.options("sweep"))
            raise InputError(f"expected +sweep=NAME, the file of a space in conf/sweep; there are {names}.")
        if base.cluster is not None:
            raise InputError(
                "cluster: expected a search on the machine where it is started; its trials are processes of its own. Leave it "
                "out, and start the search within a job; several jobs share one study by sweep.storage."
            )
        node = OmegaConf.create({key: base[key] for key in ("sweep", "seed", "name", "trainer")})
        sweep: Any = OmegaConf.to_container(node.sweep, resolve=True)
        for key in ("n_trials", "workers", "seeds", "slots_per_gpu"):
            if (key, sweep[key]) != ("workers", None) and (not isinstance(sweep[key], int) or sweep[key] < 1):
                raise InputError(f"sweep.{key}: expected a number of at least 1; received {sweep[key]}.")
        space = Space(sweep["space"])
        _check(base, space)
        setup = cls(tuple(arguments), base, sweep, space, assembly.prepare(base))
        if sweep["study"] == "auto":
            sweep["study"] = f"{base.name}-{identity.digest(setup.content())[:8]}"
        return setup

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return objectives(self.sweep["objectives"], OmegaConf.to_container(self.base.objective))  # type: ignore[arg-type]

    @property
    def seeds(self) -> list[int]:
        """By whose mean a point is judged: the configuration's own and those after it."""
        return [*range(self.base.seed, self.base.seed + self.sweep["seeds"])]

    @property
    def folder(self) -> Path:
        """Of the study: its journal, its trials, its figures."""
        return Path(str(assembly.plain(self.base, "paths.runs"))) / "sweeps" / self.sweep["study"]

    def config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The complete configuration of a point, as a plain container without the sweep's own node.

        Raises:
            InputError: a choice that does not compose.
        """
        content = OmegaConf.to_container(assembly.complete(self.open(values), self.prepared))
        assert isinstance(content, dict)
        return {str(key): value for key, value in content.items() if key not in ("sweep", "cluster")}

    def open(self, values: Mapping[str, Any]) -> DictConfig:
        """The configuration of a point, its interpolations still open."""
        groups = {key: value for key, value in values.items() if (checks.CONF / key).is_dir()}
        config = self._composed(tuple(sorted(groups.items()))).copy()
        for key, value in values.items():
            if key not in groups:
                OmegaConf.update(config, key, value, force_add=True)
        return config

    def order(self, values: Mapping[str, Any], name: str, *, threads: int, seeds: Sequence[int] | None = None) -> Order:
        """What the process of a trial is to do.

        Args:
            name: of the trial's folder; the trainings after the first one add their seeds to it.
            seeds: one training for each; those of the search if none are given.
        """
        trainings = []
        for seed in self.seeds if seeds is None else seeds:
            folder = self.folder / (name if seed == self.seeds[0] else f"{name}-seed-{seed}")
            config = self.config({**values, "seed": seed} if self.sweep["seeds"] > 1 else values)
            trainings.append(Training(config, folder, {"seed": str(config["seed"])}))
        return Order(
            trainings=tuple(trainings),
            measures=tuple(one.metric for one in self.objectives),
            prepared=self.prepared.folder,
            threads=threads,
            code=self.code,
        )

    def modules(self) -> list[str]:
        """The modules of everything that a point of the space may be made of."""
        grouped = [parameter for parameter in self.space.parameters if (checks.CONF / parameter.key).is_dir()]
        chosen = [{parameter.key: choice} for parameter in grouped for choice in parameter.choices.values()]
        targets = {target for values in ({}, *chosen) for target in identity.targets(OmegaConf.to_container(self.open(values)))}
        return sorted({target.rpartition(".")[0] for target in targets} - {""})

    def worker(self, stale: float | None = None) -> Worker:
        """This command's part in the study, which is made if it is not there."""
        made = Worker(
            storage=self.sweep["storage"],
            folder=self.folder,
            name=self.sweep["study"],
            objectives=self.objectives,
            sampler=self._sampler,
            pruner=_make(self.sweep["pruner"], "sweep.pruner"),
            seed=int(self.sweep["sampler"].get("seed") or 0),
            n_trials=int(self.sweep["n_trials"]),
            stale=float(self.sweep["stale"] if stale is None else stale),
        )
        made.settle(self.content(), self._points(), adapt=self.sweep["adapt"])
        return made

    def record(self) -> Record:
        """The study's own record, the parent of its trials'."""
        described = {name: self.sweep[name] for name in ("n_trials", "seeds", "sampler", "pruner", "space")}
        described["objectives"] = {one.metric: one.mode for one in self.objectives}
        return Record(
            Run(self.folder),
            tracking=assembly.plain(self.base, "tracking"),
            params=dict(flat(described)),
            dataset={key: self.prepared.card[key] for key in ("name", "content", "source", "counts")},
            tags={"experiment": str(self.base.name), "study": self.sweep["study"]},
            courier="src.tracking.fleet",
        )

    def _sampler(self, seed: int) -> Any:
        node = dict(self.sweep["sampler"])
        name = node["_target_"].rpartition(".")[2]
        if "seed" in node and name not in CONSTANT:
            node["seed"] = seed % 2**31
        if name == "CmaEsSampler" and find_spec("cmaes") is None:
            raise InputError("sweep/sampler=cmaes: expected the package cmaes, which is not installed: pip install cmaes")
        if name == "GridSampler":
            node["search_space"] = self.space.grid()
        return _make(node, "sweep.sampler")

    def _points(self) -> list[dict[str, Any]]:
        """The points to start from: the experiment's own values, then the ones that the configuration lists."""
        own = {parameter.key: OmegaConf.select(self.base, parameter.key) for parameter in self.space.parameters}
        chosen = command_line.choices(self.arguments)
        own |= {key: chosen.get(key) for key in own if (checks.CONF / key).is_dir()}
        points = [
            self.space.params({key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in own.items()})
        ]
        for point in self.sweep["enqueue"]:
            found = self.space.params(point)
            if len(found) != len(point):
                outside = ", ".join(f"{key}={value}" for key, value in point.items() if key not in self.space.values(found))
                raise InputError(f"sweep.enqueue: expected points of the space; {outside} lies outside it.")
            points.append(found)
        return points

    def content(self) -> dict[str, Any]:
        """What makes trials of two commands comparable."""
        fixed = identity.training_part(self.config({}))
        return {
            "space": self.space.text(),
            "configuration": identity.digest(fixed),
            "data": self.prepared.card["content"],
            "objectives": [[one.metric, one.mode] for one in self.objectives],
            "seeds": self.sweep["seeds"],
        }

    @cache  # noqa: B019 - a search is one object of a process
    def _composed(self, groups: tuple[tuple[str, Any], ...]) -> DictConfig:
        return command_line.configure([*self.arguments, *(f"{group}={option}" for group, option in groups)])


def named(number: int) -> str:
    """The name of a trial's folder."""
    return f"trial-{number:04d}"


def _make(node: Mapping[str, Any], where: str) -> Any:
    try:
        return instantiate(node)
    except InstantiationException as error:
        raise InputError(f"{where}: {node.get('_target_')} cannot be made: {error.__cause__ or error}") from error


def _check(base: DictConfig, space: Space) -> None:
    """Refuses a key of the space that the configuration does not have."""
    names = [key for key, _ in checks.leaves(base) if not key.startswith("sweep.")]
    groups = [path.name for path in checks.CONF.iterdir() if path.is_dir()]
    for parameter in space.parameters:
        if parameter.condition is None and OmegaConf.select(base, parameter.key, default=...) is ...:
            raise InputError(f"sweep.space: {parameter.key}: there is no such option; {checks.nearest(parameter.key, names)}.")
        if parameter.key in groups:
            options = checks.options(parameter.key)
            for choice in parameter.choices.values():
                if choice not in options:
                    raise InputError(
                        f"sweep.space: {parameter.key}={choice}: there is none; {checks.nearest(str(choice), options)}."
                    )
