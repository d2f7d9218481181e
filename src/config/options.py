"""The option of a group of conf/ that a node of a stored configuration was made from, as a user would type it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from src.config import checks
from src.runs.identity import flat

GROUPS = ("data", "model", "task", "optimizer", "scheduler", "augmentation", "averaging", "divergence")
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def chosen(group: str, node: object) -> str | None:
    """The option whose file names the same classes, and agrees with most of the values; None where the node is no object.

    A class that no file names has its own name, or that of its module where it is one of this repository.
    """
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(target, str):
        return None
    values = {key: str(value) for key, value in flat(node)}
    agreement = {
        name: sum(values.get(key) == value for key, value in own.items())
        - sum(values.get(key) != value for key, value in own.items() if key.endswith("_target_"))
        for name, own in _files(group).items()
        if own.get("_target_") == target and _inner(own) in (None, values.get("network._target_"))
    }
    if agreement:
        return max(agreement, key=agreement.__getitem__)
    return target.split(".")[-2 if target.startswith("src.") else -1]


def _inner(own: Mapping[str, str]) -> str | None:
    """The network that an adapter is put around; there, it is what the option is called after."""
    return own.get("network._target_")


@cache
def _files(group: str) -> Mapping[str, Mapping[str, str]]:
    """The values of each file of a group, by its option."""
    return {
        path.stem: {key: str(value) for key, value in flat(_content(path))}
        for path in sorted((checks.CONF / group).glob("*.yaml"))
    }


def _content(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), Loader)
    except yaml.YAMLError:  # whoever composes it is told
        return None
