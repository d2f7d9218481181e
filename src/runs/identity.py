"""What makes two runs the same run: its configuration, its data and its code. Pure functions."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from src.runs import closure, syntax
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
    "pretrained.weights",  # their content counts instead
    "trainer.in_memory_gib",
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
ASSEMBLY = ("src.config.assembly", "src.config.instantiation")  # what makes the objects of a run


@dataclass(frozen=True)
class Identity:
    """What decides the result of a run. Equal digests mean equal results on one machine.

    Args:
        config: the training part of the resolved configuration.
        data: the content hash that the card of the prepared data states.
        code: SHA-256 of the syntax tree of each file, by its path in this repository.
        start: the name of the run whose last checkpoint this one starts from.
    """

    config: Mapping[str, Any]
    data: str
    code: Mapping[str, str]
    start: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of it all; its first digits are a part of the run's name."""
        parts = {"config": digest(self.config), "data": self.data, "code": digest(self.code)}
        return digest({**parts, "start": self.start} if self.start else parts)


def of(config: Mapping[str, Any], data: str, *, start: str | None = None) -> Identity:
    """The identity of a run.

    Args:
        config: resolved, as a plain container.
        data: the content hash that the card of the prepared data states.
        start: the name of the run whose last checkpoint this one starts from.
    """
    part = training_part(config)
    return Identity(config=part, data=data, code=files(targets(part), verb="train"), start=start)


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
    """Every `_target_` in a configuration, sorted."""
    if isinstance(node, Mapping):
        own = [node["_target_"]] if isinstance(node.get("_target_"), str) else []
        return sorted({*own, *(target for value in node.values() for target in targets(value))})
    if isinstance(node, list | tuple):
        return sorted({target for value in node for target in targets(value)})
    return []


def files(names: Iterable[str], *, verb: str | None = None) -> dict[str, str]:
    """SHA-256 of the syntax tree of each file that the targets are computed by, without what only speaks, by its path.

    Args:
        names: dotted paths of classes or functions; those of installed libraries do not count.
        verb: a module of src whose own tree counts too, and assembly's with it, but not their imports.
    """
    own = {f"src.{verb}", *ASSEMBLY} if verb else set()
    modules = (closure.closure(names) | own) - set(SPEAKING)
    return {closure.path(module).relative_to(closure.ROOT).as_posix(): digest(tree(module)) for module in sorted(modules)}


def code(names: Iterable[str], *, verb: str | None = None) -> str:
    """SHA-256 of those files together."""
    return digest(files(names, verb=verb))


@cache
def tree(module: str) -> str:
    """The syntax tree of a module of this repository, as text, without what only speaks."""
    return syntax.tree(closure.path(module).read_text())


def flat(node: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a plain container as (dotted key, value); an empty container is a leaf."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flat(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), node
