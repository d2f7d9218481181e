"""Checks a composed configuration against the tables of src/config/schema.py, whoever set its keys; imports nothing heavy."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config import schema
from src.config.checks import leaves, nearest
from src.errors import InputError
from src.value_types import mismatch

Source = Callable[[str], str | None]
PACKAGED = ("experiment", "debug", "local")  # groups whose files set keys of the top level
READ = re.compile(r"\$\{(?:oc\.select:)?\s*([\w-]+)")  # the top-level key that an interpolation reads


def check(config: DictConfig, *, groups: Collection[str] = (), source: Source = lambda key: None) -> None:
    """Refuses keys that nothing reads, keys that are missing, and values outside their types and ranges.

    Args:
        groups: further top-level keys, those of chosen groups of conf/.
        source: the file that sets a key; None where the command line does.

    Raises:
        InputError: with the first of them.
    """
    _check_top(config, groups, source)
    for group, table in schema.PLAIN.items():
        node = _group(config, group, source)
        if node is not None:
            _check_keys(node, group, table, source)
            for name in table:
                if name not in node and f"{group}.{name}" not in schema.OPTIONAL:
                    raise InputError(f"{group}.{name}: expected {mismatch(..., table[name])}; it is missing. State it.")
    check_values(config, source=source)
    for group in schema.OBJECTS:
        _check_object(_node(config, group), group, source)
    for group in schema.NAMED_OBJECTS:
        for name in config.get(group) or {}:
            _check_object(_node(config, f"{group}.{name}"), f"{group}.{name}", source)


def check_values(config: DictConfig, *, source: Source = lambda key: None) -> None:
    """Refuses values outside their types and ranges, among the keys that the tables know."""
    for key, hint in _hints(config):
        parent, _, name = key.rpartition(".")
        node = _node(config, parent) if parent else config
        if not isinstance(node, DictConfig) or name not in node or OmegaConf.is_missing(node, name):
            continue
        try:
            value = OmegaConf.select(config, key)
            value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException:
            continue  # it waits for a fact of the prepared data
        if value is None and node._get_node(name)._is_interpolation():  # type: ignore[union-attr]
            continue
        if (expected := mismatch(value, hint)) is not None:
            raise InputError(f"{_where(key, source)}: expected {expected}; received {_shown(value)}. Correct it.")


def _hints(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every key with a type, and that type."""
    yield from schema.TOP.items()
    for group, table in (*schema.PLAIN.items(), *schema.OBJECTS.items()):
        yield from ((f"{group}.{name}", hint) for name, hint in table.items())
        yield from ((f"{group}.{name}", hint) for name, hint in _settings(_node(config, group)).items())


def _settings(node: object) -> Mapping[str, Any]:
    return schema.BY_TARGET.get(str(node.get("_target_")), {}) if isinstance(node, DictConfig) else {}


def _check_top(config: DictConfig, groups: Collection[str], source: Source) -> None:
    known = {*schema.TOP, *schema.GROUPS, *(set(groups) - {*PACKAGED})}
    for key in schema.NEEDED:
        if key not in config:
            raise InputError(f"{key}: expected this key in every configuration; it is missing. Leave it in.")
    unknown = [str(key) for key in config if str(key) not in known]
    if not unknown:
        return
    read = {name for _, value in leaves(config) for name in READ.findall(str(value))}
    for key in unknown:
        if key in PACKAGED:
            raise InputError(
                f"{_where(key, source)}: expected a file of conf/{key} to begin with the line '# @package _global_', because "
                f"its keys would else stand under {key}, where nothing reads them. Add the line."
            )
        if key not in read:
            raise InputError(
                f"{_where(key, source)}: expected a key that something reads; there is no such key "
                f"({nearest(key, sorted(known))}). Correct it, or read it by an interpolation, as ${{{key}}}."
            )


def _check_keys(node: DictConfig, group: str, table: Mapping[str, Any], source: Source) -> None:
    for name in map(str, node):
        if name not in table and name not in schema.HYDRA:
            key = f"{group}.{name}"
            names = [f"{group}.{known}" for known in table]
            raise InputError(
                f"{_where(key, source)}: there is no such key ({nearest(key, names)}). Correct it, or leave it out."
            )


def _check_object(node: object, group: str, source: Source) -> None:
    if node is None or (isinstance(node, DictConfig) and not node):
        return
    if not isinstance(node, DictConfig):
        raise InputError(
            f"{_where(group, source)}: expected null, or a group of keys with a _target_; received {_shown(node)}. Correct it."
        )
    if "_target_" not in node:
        key = f"{group}.{next(iter(node))!s}"
        raise InputError(
            f"{_where(key, source)}: expected {group} with a _target_, whose setting this would be; {group} has none. "
            f"Choose one, or leave the key out."
        )
    if node.get("_target_") in schema.CLOSED:
        _check_keys(node, group, _settings(node), source)


def _group(config: DictConfig, group: str, source: Source) -> DictConfig | None:
    """The node of a plain group; None where it is optional and absent."""
    node = _node(config, group)
    if isinstance(node, DictConfig) or (node is None and group in schema.OPTIONAL):
        return node
    raise InputError(f"{_where(group, source)}: expected a group of keys; received {_shown(node)}.")


def _node(config: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None


def _where(key: str, source: Source) -> str:
    file = source(key)
    return f"{file} sets {key}" if file else key


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
