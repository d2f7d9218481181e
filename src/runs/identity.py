"""What makes two runs the same run: its configuration, its data and its code. Pure functions."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES
from typing import Any

from src.runs import closure, modules, syntax
from src.runs.folder import DIGITS

# Keys of the resolved configuration that decide what training yields. All others are paths or presentation.
TRAINING = (
    "data",
    "augmentation",
    "model",
    "pretrained",
    "task",
    "objective",
    "optimizer",
    "scheduler",
    "averaging",
    "divergence",
    "trainer",
    "callbacks",
    "seed",
)
# Those that decide what an evaluation of a trained run yields.
ANALYSES = ("explanation", "robustness")
EVALUATION = ("evaluation", *ANALYSES)
PRESENTATION = (
    "data.dataset",  # the content of the prepared data counts instead
    "data.root",
    "data.gives",
    "task.takes",
    "pretrained.weights",  # their content counts instead
    "trainer.in_memory_gib",
    "trainer.num_workers",
    "trainer.oversubscribe",
    "trainer.progress_bar",
    "trainer.log_every_n_steps",
    "trainer.profiler",
    "trainer.save_every_n_minutes",
    "trainer.save_every_n_steps",
    "trainer.strategy.timeout",
)
# Modules whose text never counts: they speak to the user or keep processes apart, and compute nothing.
SPEAKING = (
    "src.errors",  # kinds of refusals and their exit codes
    "src.value_types",  # what refuses a setting
    "src.data.seal",  # what refuses changed data
    "src.signals",  # when a run leaves; it continues as if it had not
    "src.runs.locks",
    "src.training.callbacks.progress",
)
GETTERS = tuple(f"hydra.utils.get_{kind}" for kind in ("class", "method", "static_method", "object"))  # they import `path`
NEUTRAL = "functools.partial"  # it calls what its first argument is, which another node names
ASSEMBLY = ("src.config.assembly", "src.config.instantiation")  # what makes the objects of a run


@dataclass(frozen=True)
class Identity:
    """What decides the result of a run. Equal digests mean equal results on one machine.

    Args:
        config: the training part of the resolved configuration.
        data: the content hash that the card of the prepared data states.
        code: SHA-256 of the syntax tree of each file, by its path from the folder that it is imported from.
        packages: the version of each installed package that the configuration names.
        start: the name of the run whose last checkpoint this one starts from.
    """

    config: Mapping[str, Any]
    data: str
    code: Mapping[str, str]
    packages: Mapping[str, str] = field(default_factory=dict)
    start: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of it all; its first digits are a part of the run's name."""
        code = {"files": digest(self.code), "packages": digest(self.packages)}
        parts = {"config": digest(self.config), "data": self.data, **code}
        return digest({**parts, "start": self.start} if self.start else parts)


def of(config: Mapping[str, Any], data: str, *, start: str | None = None) -> Identity:
    """The identity of a run.

    Args:
        config: resolved, as a plain container.
        data: the content hash that the card of the prepared data states.
        start: the name of the run whose last checkpoint this one starts from.
    """
    part = training_part(config)
    names = targets(part)
    return Identity(config=part, data=data, code=files(names, verb="train"), packages=packages(names), start=start)


def run_id(config: Mapping[str, Any], data: str, *, start: str | None = None) -> str:
    """The digits of a run's identity in the name of its folder. The arguments are those of `of`."""
    return of(config, data, start=start).digest[:DIGITS]


def digest(value: object) -> str:
    """SHA-256 of a plain container, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def training_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that decides what training yields."""

    def keep(node: object, prefix: str) -> object:
        if not isinstance(node, Mapping):
            return node
        return {key: keep(value, f"{prefix}{key}.") for key, value in node.items() if f"{prefix}{key}" not in PRESENTATION}

    part = {key: keep(config.get(key), f"{key}.") for key in TRAINING}
    if not (config.get("pretrained") or {}).get("weights"):
        del part["pretrained"]  # all weights are fresh, as where the configuration has no such node
    return part


def targets(node: object) -> list[str]:
    """The dotted paths that a configuration imports, at every depth, sorted."""
    return sorted({name for _, name in imported(node)})


def imported(node: object, where: str = "") -> Iterator[tuple[str, str]]:
    """What a configuration imports, at every depth: its key and its dotted path."""
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield from _imported(node, where)
        for key, value in node.items():
            yield from imported(value, f"{where}.{key}".lstrip("."))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from imported(value, f"{where}.{number}")


def _imported(node: Mapping[Any, Any], where: str) -> Iterator[tuple[str, str]]:
    target = node["_target_"]
    if target in GETTERS:
        arguments = [*(node.get("_args_") or []), *([node["path"]] if "path" in node else [])]
        yield from ((where, str(name)) for name in arguments)
    elif target != NEUTRAL:
        yield where, target


def files(names: Iterable[str], *, verb: str | None = None) -> dict[str, str]:
    """SHA-256 of the syntax tree of each file that the targets are computed by, without what only speaks, by its path.

    Args:
        names: dotted paths of classes or functions; those of installed packages have no files here.
        verb: a module of src whose own tree counts too, and assembly's with it, but not their imports.
    """
    own = {f"src.{verb}", *ASSEMBLY} if verb else set()
    counted = (closure.closure(names) | own) - set(SPEAKING)
    return {modules.module(name).file: digest(tree(name)) for name in sorted(counted)}


def packages(names: Iterable[str]) -> dict[str, str]:
    """The version of each installed package that dotted paths lie in, by its name.

    Raises:
        InputError: there is a path whose module is neither installed nor elsewhere.
    """
    return dict(sorted({package for name in names for package in modules.package(name)}))


def code(names: Iterable[str], *, verb: str | None = None) -> str:
    """SHA-256 of those files and packages together."""
    names = [*names]
    return digest({"files": files(names, verb=verb), "packages": packages(names)})


@cache
def tree(module: str) -> str:
    """The syntax tree of a module, as text, without what only speaks; the digest of one in machine code."""
    path = modules.module(module).path
    assert path is not None
    content = path.read_bytes()
    return syntax.tree(content, str(path)) if path.suffix in SOURCE_SUFFIXES else hashlib.sha256(content).hexdigest()


def flat(node: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a plain container as (dotted key, value); an empty container is a leaf."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flat(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), node
