"""Checks of a composed configuration, with messages that name the remedy: types, spelling, left-over keys."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.sources import CONF, source
from src.errors import InputError
from src.runs.identity import flat

ADDED = ("experiment", "debug")  # groups that the defaults list leaves out, so that `+experiment=` works
DECIMAL = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?")  # a decimal comma
EXTRA = ("sweep", "finder")  # ... and those whose keys are their own


def check_types(plain: DictConfig, config: DictConfig, overrides: Sequence[Override]) -> None:
    """Refuses a value of another type than the one it replaces.

    An integer may become a float; null takes anything, and anything may become null or auto.
    """
    for override in overrides:
        key = override.get_key_element().lstrip("+~")
        if override.is_delete() or override.is_add() or "@" in key:
            continue
        was, now = (_resolved(node, key) for node in (plain, config))
        if was is None or now is None or _kind(was) == _kind(now) or now == "auto":
            continue
        expected = f"{_kind(was)}, as in {key}={was}"
        raise InputError(f"{key}: expected {expected}; received {now!r}, {_kind(now)}.")


def check_single(overrides: Sequence[Override]) -> None:
    """Refuses several values for one key, which only a grid takes, and a group without the name of an option."""
    for override in overrides:
        line, key = str(override.input_line), override.get_key_element().lstrip("+~")
        if override.is_sweep_override():
            value = line.partition("=")[2]
            decimal = f"a decimal point ({value.replace(',', '.')}), " if DECIMAL.fullmatch(value) else ""
            raise InputError(
                f"{line}: expected one value; received several, which only a grid takes. Write {decimal}a list in brackets "
                f"([{value}]), text in quotes (\"{key}='{value}'\"), or start a grid with -m."
            )
        if (CONF / key).is_dir() and "=" in line and not isinstance(override.value(), str | list | Mapping):
            names = ", ".join(options(key))
            raise InputError(f"{line}: expected the name of an option; received {line.partition('=')[2]}. One of: {names}.")


def check_left_over(
    plain: DictConfig,
    config: DictConfig,
    overrides: Sequence[Override],
    choices: Mapping[str, Any],
    extra: Sequence[Path],
) -> None:
    """Refuses a key that an experiment sets and the chosen groups do not have.

    Such a key would be passed to whatever model, optimizer or trainer the command line chose instead.
    """
    added = tuple(override.get_key_element().lstrip("+~") for override in overrides if override.is_add())
    known = dict(leaves(plain))
    files = source({group: choices.get(group) for group in (*ADDED, "local")}, extra)
    for key, _ in leaves(config):
        group = key.partition(".")[0]
        if key in known or group not in choices or any(key == new or key.startswith(f"{new}.") for new in added):
            continue
        inside = any(name.startswith(f"{key}.") for name in known)
        parents = [key[:i] for i, char in enumerate(key) if char == "."]
        if inside or any(parent in known for parent in parents):
            continue  # a whole node replaced by another, as in model.hidden=[]
        if (file := files(key)) is None:
            continue
        inner = [name for name in known if name.startswith(f"{group}.")]
        raise InputError(
            f"{file} sets {key}, which {group}={choices[group]} does not have ({nearest(key, inner)}). "
            f"Give that key its own file in conf/{group}, or choose the {group} that the file was written for."
        )


def unknown(error: ConfigCompositionException, parsed: Sequence[Override]) -> str:
    """The message for an override that no key and no group matches: the nearest ones."""
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    chosen = [str(override.input_line) for override in parsed if override.get_key_element().lstrip("+~") in groups]
    try:
        plain = compose("train", overrides=chosen)  # with the keys of what is chosen here
    except ConfigCompositionException:
        plain = compose("train", overrides=[])
    names = list(dict.fromkeys([key for key, _ in leaves(plain)] + _inner(plain) + groups))
    for override in parsed:
        key = override.get_key_element().lstrip("+~")
        plain_line = str(override.input_line).lstrip("+~")
        if str(override.input_line).startswith("++") and key in groups:
            known = key not in (*ADDED, *EXTRA)
            return (
                f"{key} is a group of conf/: write {'' if known else '+'}{plain_line}, {'without' if known else 'with one'} +."
            )
        if override.is_add() and f"Multiple values for {key}." in str(error):
            return f"{key} is chosen already: write {plain_line}, without the +."
        if f"'{key}'" in str(error) or f"'{override.input_line}'" in str(error) or str(override.input_line) in str(error):
            if key in (*ADDED, *EXTRA) and override.is_delete():
                return f"{key} is not chosen here, so that nothing can be removed. Leave {override.input_line} out."
            if key in (*ADDED, *EXTRA) and not override.is_add():
                return f"{key} is not among the defaults: write +{override.input_line}."
            if new := _new(plain, key, override.value()):
                return f"{key}: expected keys that it has; received {new}. Add a new key with a +: '+{override.input_line}'."
            if key in names:
                return f"{key}: there is no such option in what is chosen here. Leave it out; `--cfg job` shows the options."
            return f"{key}: there is no such option; {nearest(key, names)}. Add a new key with +{key}=..."
    return str(error)


def nearest(name: str, names: Sequence[str]) -> str:
    """The names that a mistyped one is close to, or all of them when they are few."""
    leaf: dict[str, str] = {}
    for full in names:
        leaf.setdefault(full.rpartition(".")[2], full)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    close += [leaf[match] for match in difflib.get_close_matches(name.rpartition(".")[2], list(leaf), n=3, cutoff=0.7)]
    if close:
        return "nearest: " + ", ".join(dict.fromkeys(close))
    return "one of: " + ", ".join(sorted(names)) if len(names) <= 30 else "see --help for all of them"


def options(group: str) -> list[str]:
    """The options of a group of conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def leaves(node: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every leaf as (dotted key, value), with interpolations unresolved."""
    return flat(OmegaConf.to_container(node, resolve=False))


def _new(plain: DictConfig, key: str, value: Any) -> str | None:
    """The first key in an override's value that its group of keys lacks; None where there is none, or no such group."""
    node = OmegaConf.select(plain, key)
    if not isinstance(value, Mapping) or not isinstance(node, DictConfig):
        return None
    return next((str(inner) for inner in value if inner not in node), None)


def _inner(config: DictConfig, prefix: str = "") -> list[str]:
    keys = []
    for key in map(str, config):
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            keys += [f"{prefix}{key}", *_inner(node, f"{prefix}{key}.")]
    return keys


def _resolved(config: DictConfig, key: str) -> Any:
    try:
        value = OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None  # an interpolation that only the prepared data can fill in
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a group of keys"
