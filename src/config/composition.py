"""Composes and checks a configuration by Hydra, without importing anything that trains.

A mistyped name is refused before torch is imported, with the nearest valid ones.
"""

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

from src.config.checks import ADDED, CONF, EXTRA, check_left_over, check_types, leaves, nearest, unknown
from src.errors import InputError

LENGTHS = ("scheduler.T_max", "scheduler.total_steps")  # a run that is trained further goes on in a schedule of the new one


def compose(overrides: Sequence[str], *, extra: Sequence[Path] = ()) -> DictConfig:
    """The configuration of one run, its interpolations still open.

    Args:
        overrides: in Hydra's grammar, as on a command line.
        extra: further configuration folders, searched after conf/.
    """
    search = _searchpath(extra)
    parsed = parse(overrides)
    with _own_hydra():
        config = _compose([*search, *overrides], parsed)
        choices = dict(config.hydra.runtime.choices)
        plain = _compose([*search, *_selections(choices)], parsed)
    del config.hydra, plain.hydra
    check_types(plain, config, parsed)
    check_left_over(plain, config, parsed, choices, extra)
    OmegaConf.set_struct(config, False)
    return config


def tune(config: DictConfig, keys: Sequence[str] = (), *, path: Path | None = None) -> DictConfig:
    """The configuration with the best values that a search found.

    Args:
        keys: that are kept as they are, for the command line states them.
        path: the file that a search wrote; tuned/NAME.yaml if none is stated.
    """
    path = path or Path("tuned") / f"{config.name}.yaml"
    if not path.is_file():
        raise InputError(
            f"tuned=true: expected {path}; there is none. `python -m pipelines.sweep +experiment={config.name} +sweep=...` "
            "writes it."
        )
    nodes: Any = OmegaConf.to_container(OmegaConf.load(path)).get("nodes", {})  # type: ignore[union-attr]
    config = config.copy()
    for key, value in nodes.items():
        if key not in keys:
            OmegaConf.update(config, key, value, merge=False, force_add=True)
    return config


def choices(overrides: Sequence[str], *, extra: Sequence[Path] = ()) -> dict[str, Any]:
    """The option chosen of each group, by the overrides and the experiment among them."""
    with _own_hydra():
        return dict(_compose([*_searchpath(extra), *overrides], parse(overrides)).hydra.runtime.choices)


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
    names = [key for key, _ in leaves(plain)]
    for override in parsed:
        key = override.get_key_element().lstrip("+~")
        if (CONF / key).is_dir():
            raise InputError(
                f"resume={folder}: expected values only; received {override.input_line}, another {key}. Leave it out."
            )
        if key.partition(".")[0] == "pretrained":
            raise InputError(
                f"resume={folder}: expected no pretrained weights, because the training continues with its own; received "
                f"{override.input_line}. Leave it out."
            )
        if _restored(override, plain):
            raise InputError(
                f"resume={folder}: expected {key} as it was, for the training goes on with the state that it was in; received "
                f"{override.input_line}. Leave it out, or begin a training with the weights alone: pretrained.weights={folder}."
            )
        if not override.is_add() and key not in names and OmegaConf.select(plain, key, default=...) is ...:
            raise InputError(f"{key}: there is no such option in {folder}; {nearest(key, names)}.")
        if override.is_delete():
            place, _, name = key.rpartition(".")
            del (OmegaConf.select(config, place) if place else config)[name]
        else:
            OmegaConf.update(config, key, override.value(), force_add=True)
    check_types(plain, config, parsed)
    config.resume = str(folder)
    return config


def _restored(override: Override, plain: DictConfig) -> bool:
    """Whether an override changes what a checkpoint puts back, or may: settings of an optimizer, a schedule or a callback.

    The length of a schedule is no part of it, nor is a callback that is new, or goes.
    """
    key = override.get_key_element().lstrip("+~")
    group = key.partition(".")[0]
    if group not in ("optimizer", "scheduler", "callbacks") or key in LENGTHS:
        return False
    before = OmegaConf.select(plain, key, default=...)
    if override.is_delete():
        return group != "callbacks" or key.count(".") > 1
    if before is ...:
        return group != "callbacks" and override.is_add()
    return bool(before != override.value())


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides in Hydra's grammar, taken apart."""
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except OverrideParseException as error:
        hint = "Overrides read key=value, +key=value to add, ~key to remove; quote values with special characters."
        raise InputError(f"{error.override!r} is not an override. {hint}") from error


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
        stated = (
            OmegaConf.to_container(config.data[key], resolve=True)
            if OmegaConf.is_config(config.data[key])
            else config.data[key]
        )
        if stated is None:
            config.data[key] = value
        elif stated != value:
            raise InputError(
                f"data.{key}: the configuration states {stated}, the prepared data has {value}. "
                f"Set data.{key}=null to take it from the data."
            )
    try:
        OmegaConf.resolve(config)
        missing = OmegaConf.missing_keys(config) | {key for key, value in leaves(config) if value == "???"}
    except OmegaConfBaseException as error:
        raise InputError(f"The configuration does not resolve: {error}") from error
    if missing:
        raise InputError(f"The configuration leaves {', '.join(sorted(missing))} open (???): set each by key=value.")
    return config


def settled(config: DictConfig) -> DictConfig:
    """A copy in which every interpolation is resolved but those that wait for a fact of the data."""
    resolved = resolve(config)
    for key, value in leaves(config):
        waits = isinstance(value, str) and "${data." in value and OmegaConf.select(resolved, key) is None
        if waits:
            OmegaConf.update(resolved, key, value)
    return resolved


def _compose(overrides: Sequence[str], parsed: Sequence[Override]) -> DictConfig:
    try:
        return hydra_compose("train", overrides=list(overrides), return_hydra_config=True)
    except MissingConfigException as error:
        group, _, option = str(error.missing_cfg_file or "").rpartition("/")
        names = list(error.options or [])
        raise InputError(f"{group}={option}: there is no such option; {nearest(option, names)}.") from error
    except ConfigCompositionException as error:
        raise InputError(unknown(error, parsed)) from error
    except (OmegaConfBaseException, ValueError) as error:  # the latter for a group that is given a number
        raise InputError(f"The configuration cannot be composed from {' '.join(overrides)}: {error}") from error


def _searchpath(extra: Sequence[Path]) -> list[str]:
    return [f"hydra.searchpath=[{','.join(f'file://{path.resolve()}' for path in extra)}]"] if extra else []


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
    kept = [(group, option) for group, option in chosen.items() if group not in (*ADDED, "local") and option is not None]
    return [f"{'+' if group in EXTRA else ''}{group}={option}" for group, option in kept]
