"""Whether data and task fit: what the data give each example, and what the task takes, as their files in conf/ say."""

from collections.abc import Collection, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import checks, sources
from src.config.schema import Target
from src.errors import InputError

NAMES: Mapping[Target, str] = {
    "class": "one class for each example",
    "labels": "any number of labels for each example",
    "mask": "a class for each pixel",
    "number": "one or several numbers for each example",
    "tokens": "the token that follows each token of a text",
    "nothing": "no target",
}
LISTED = ("class", "labels", "number")  # what a table may list: its source reads data.gives


def check(config: DictConfig) -> None:
    """Refuses data that give something else than the task takes; nothing is imported for it.

    Raises:
        InputError: they do not fit. Where one of the two says nothing, they may.
    """
    gives, takes = (OmegaConf.select(config, key) for key in ("data.gives", "task.takes"))
    if gives is None or takes is None or gives in takes:
        return
    wanted = " or ".join(NAMES[one] for one in takes)
    tasks = [name for name in checks.options("task") if gives in (stated("task", name, "task.takes") or ())]
    own = {name: stated("data", name, "dataset.source") for name in checks.options("data")}
    tables = [name for name, source in own.items() if OmegaConf.is_config(source) and "gives" in source]
    data = [name for name in own if name not in tables and stated("data", name, "gives") in takes]
    remedies = [_one_of("task", tasks), _one_of("data", data)]
    if listed := [one for one in takes if one in LISTED]:
        remedies += [f"data={name} data.gives={'|'.join(listed)}" for name in tables]
    raise InputError(
        f"{config.task._target_}: expected data with {wanted}; {config.data.dataset.name} has {NAMES[gives]}. Choose "
        f"{', or '.join(remedies)}."
    )


def stated(group: str, name: str, key: str) -> Any:
    """The value of a key in the file of an option, or in those that the file begins with."""
    path = checks.CONF / group / f"{name}.yaml"
    if not path.is_file():
        return None
    content = sources.load(path)
    value = OmegaConf.select(content, key)
    bases = [base for base in content.get("defaults") or [] if isinstance(base, str) and base not in ("_self_", name)]
    return value if value is not None else next((stated(group, base, key) for base in bases), None)


def _one_of(group: str, names: Collection[str]) -> str:
    return f"{group}={'|'.join(names)}" if names else f"another {group}"
