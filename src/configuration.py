"""Composes and checks a configuration by Hydra, without importing anything that trains.

A mistyped name is refused before torch is imported, with the nearest valid ones.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import InputError
from src.runs import flat

CONF = Path(__file__).resolve().parents[1] / "conf"
ADDED = ("experiment", "debug")  # groups that the defaults list leaves out, so that `+experiment=` works


def compose(overrides: Sequence[str], *, extra: Sequence[Path] = ()) -> DictConfig:
    """The configuration of one run, its interpolations still open.

    Args:
        overrides: in Hydra's grammar, as on a command line.
        extra: further configuration folders, searched after conf/.
    """
    search = [f"hydra.searchpath=[{','.join(f'file://{path.resolve()}' for path in extra)}]"] if extra else []
    parsed = parse(overrides)
    with _own_hydra():
        config = _compose([*search, *overrides], parsed)
        choices = dict(config.hydra.runtime.choices)
        plain = _compose([*search, *_selections(choices)], parsed)
    del config.hydra, plain.hydra
    check_types(plain, config, parsed)
    _check_left_over(plain, config, parsed, choices, extra)
    OmegaConf.set_struct(config, False)
    return config


def further(folder: Path, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a run to be trained further, with the values that the overrides change.

    Args:
        folder: of a run that has a config.yaml and a last.ckpt.
    """
    if not (folder / "config.yaml").is_file():
        raise InputError(
            f"resume={folder}: expected the folder of a run; there is no config.yaml in it. `ls runs` shows the runs."
        )
    plain = OmegaConf.load(folder / "config.yaml")
    config = plain.copy()
    assert isinstance(plain, DictConfig)
    assert isinstance(config, DictConfig)
    parsed = parse(overrides)
    names = [key for key, _ in _flat(plain)]
    for override in parsed:
        key = override.get_key_element().lstrip("+~")
        if (CONF / key).is_dir():
            raise InputError(
                f"resume={folder}: expected values only; received {override.input_line}, another {key}. Leave it out."
            )
        if not override.is_add() and key not in names and OmegaConf.select(plain, key, default=...) is ...:
            raise InputError(f"{key}: there is no such option in {folder}; {nearest(key, names)}.")
        OmegaConf.update(config, key, override.value(), force_add=True)
    check_types(plain, config, parsed)
    config.resume = str(folder)
    return config


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides in Hydra's grammar, taken apart."""
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except OverrideParseException as error:
        hint = "Overrides read key=value, +key=value to add, ~key to remove; quote values with special characters."
        raise InputError(f"{error.override!r} is not an override. {hint}") from error


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


def nearest(name: str, names: Sequence[str]) -> str:
    """The names that a mistyped one may have meant, or all of them when they are few."""
    leaf: dict[str, str] = {}
    for full in names:
        leaf.setdefault(full.rpartition(".")[2], full)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    close += [leaf[match] for match in difflib.get_close_matches(name.rpartition(".")[2], list(leaf), n=3, cutoff=0.7)]
    if close:
        return "nearest: " + ", ".join(dict.fromkeys(close))
    return "one of: " + ", ".join(sorted(names)) if len(names) <= 30 else "see --help for all of them"


def options(group: str) -> list[str]:
    """The names that can be chosen in a group of conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def resolve(config: DictConfig, *, facts: Mapping[str, Any] | None = None) -> DictConfig:
    """A resolved copy, in which no interpolation and no ??? is left.

    Args:
        facts: what the card of the prepared data states; it fills the nulls among data's keys, and a
            stated fact that differs from it is refused.
    """
    config = config.copy()
    for key, value in (facts or {}).items():
        if key not in config.data:
            continue
        stated = OmegaConf.to_container(config.data[key]) if OmegaConf.is_config(config.data[key]) else config.data[key]
        if stated is None:
            config.data[key] = value
        elif stated != value:
            raise InputError(
                f"data.{key}: the configuration states {stated}, the prepared data has {value}. "
                f"Set data.{key}=null to take it from the data."
            )
    try:
        OmegaConf.resolve(config)
        missing = OmegaConf.missing_keys(config) | {key for key, value in _flat(config) if value == "???"}
    except OmegaConfBaseException as error:
        raise InputError(f"The configuration does not resolve: {error}") from error
    if missing:
        raise InputError(f"The configuration leaves {', '.join(sorted(missing))} open (???): set each by key=value.")
    return config


def settled(config: DictConfig) -> DictConfig:
    """A copy in which every interpolation is resolved but those that wait for a fact of the data."""
    resolved = resolve(config)
    for key, value in _flat(config):
        waits = isinstance(value, str) and value.startswith("${data.") and OmegaConf.select(resolved, key) is None
        if waits:
            OmegaConf.update(resolved, key, value)
    return resolved


def _flat(node: DictConfig) -> Iterator[tuple[str, Any]]:
    return flat(OmegaConf.to_container(node, resolve=False))


def _compose(overrides: Sequence[str], parsed: Sequence[Override]) -> DictConfig:
    try:
        return hydra_compose("train", overrides=list(overrides), return_hydra_config=True)
    except MissingConfigException as error:
        group, _, option = str(error.missing_cfg_file or "").rpartition("/")
        names = list(error.options or [])
        raise InputError(f"{group}={option}: there is no such option; {nearest(option, names)}.") from error
    except ConfigCompositionException as error:
        raise InputError(_unknown(error, parsed)) from error
    except (OmegaConfBaseException, ValueError) as error:  # the latter for a group that is given a number
        raise InputError(f"The configuration cannot be composed from {' '.join(overrides)}: {error}") from error


def _unknown(error: ConfigCompositionException, parsed: Sequence[Override]) -> str:
    """The message for an override that fits nothing: the nearest keys and groups."""
    plain = hydra_compose("train", overrides=[])
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    names = list(dict.fromkeys([key for key, _ in _flat(plain)] + _inner(plain) + groups))
    for override in parsed:
        key = override.get_key_element().lstrip("+~")
        if key in groups and override.is_add() and "Multiple values" in str(error):
            return f"{key} is chosen already: write {str(override.input_line).lstrip('+')}, without the +."
        if f"'{key}'" in str(error) or f"'{override.input_line}'" in str(error) or str(override.input_line) in str(error):
            if key in ADDED and not override.is_add():
                return f"{key} is added to the defaults: write +{override.input_line}."
            if key in names:
                return f"{key}: what is chosen here has no such option (`--cfg job` shows what it has); leave it out."
            return f"{key}: there is no such option; {nearest(key, names)}. A new key is added by +{key}=..."
    return str(error)


def _inner(config: DictConfig, prefix: str = "") -> list[str]:
    found = []
    for key in map(str, config):
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            found += [f"{prefix}{key}", *_inner(node, f"{prefix}{key}.")]
    return found


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra set up for conf/, also within a job of a grid, where Hydra's own command line has set it up already."""
    instance = GlobalHydra.instance()
    kept, instance.hydra = instance.hydra, None
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        instance.hydra = kept


def _selections(choices: Mapping[str, Any]) -> list[str]:
    """The overrides that choose the same groups, without the experiment and without any value."""
    chosen = {group: option for group, option in choices.items() if not group.startswith("hydra/")}
    return [f"{group}={option}" for group, option in chosen.items() if group not in (*ADDED, "local") and option is not None]


def _check_left_over(
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
    known = dict(_flat(plain))
    for key, _ in _flat(config):
        group = key.partition(".")[0]
        if key in known or group not in choices or any(key == new or key.startswith(f"{new}.") for new in added):
            continue
        inside = any(name.startswith(f"{key}.") for name in known)
        parents = [key[:i] for i, char in enumerate(key) if char == "."]
        if inside or any(parent in known for parent in parents):
            continue  # a whole node replaced by another, as in model.hidden=[]
        source = _source(key, choices, extra)
        if source is None:
            continue
        inner = [name for name in known if name.startswith(f"{group}.")]
        raise InputError(
            f"{source} sets {key}, which {group}={choices[group]} does not have ({nearest(key, inner)}). "
            f"Give that key its own file in conf/{group}, or choose the {group} that the file was written for."
        )


def _source(key: str, choices: Mapping[str, Any], extra: Sequence[Path]) -> str | None:
    """The file among the chosen experiments and debug settings that sets the key."""
    for group in ADDED:
        for option in str(choices.get(group) or "").strip("[]").split(","):
            for folder in (CONF, *extra):
                path = folder / group / f"{option.strip()}.yaml"
                if path.is_file() and OmegaConf.select(OmegaConf.load(path), key, default=...) is not ...:
                    return str(path.relative_to(CONF.parent) if folder == CONF else path)
    return None


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
