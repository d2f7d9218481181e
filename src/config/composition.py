"""Composes and checks a configuration with Hydra, before torch or anything else that trains is imported."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src import pretrained_folders
from src.config import schema, sources, trust, validation
from src.config.checks import ADDED, CONF, EXTRA, check_left_over, check_single, check_types, leaves, nearest, options, unknown
from src.errors import InputError
from src.runs import names
from src.runs.identity import EVALUATION, TRAINING, imported

SEARCHED = (*TRAINING, *EVALUATION)  # keys that a search may set


OmegaConf.register_new_resolver(
    "pretrained_architecture", lambda name: OmegaConf.create(pretrained_folders.architecture(name)), replace=True
)


def compose(overrides: Sequence[str], *, extra: Sequence[Path] = ()) -> DictConfig:
    """The configuration of one run, with its interpolations unresolved.

    Args:
        overrides: in Hydra's grammar, as on a command line.
        extra: further folders of configuration groups, searched after conf/.
    """
    search = _searchpath(extra)
    parsed = parse(overrides)
    check_single(parsed)
    with _own_hydra():
        config = _compose([*search, *overrides], parsed, extra)
        choices = dict(config.hydra.runtime.choices)
        plain = _compose([*search, *_selections(choices)], parsed, extra)
    del config.hydra, plain.hydra, config.trust, plain.trust  # the last concerns a command alone
    OmegaConf.set_struct(config, False)
    stated = [key for override in parsed if (key := override.get_key_element().lstrip("+~")) not in choices]
    sources.check_files(choices, extra)
    check_types(plain, config, parsed)
    check_left_over(plain, config, parsed, choices, extra)
    validation.check(config, groups=choices, source=sources.source(choices, extra, stated))
    return config


def tune(config: DictConfig, keys: Sequence[str] = (), *, path: Path | None = None) -> DictConfig:
    """A copy of the configuration with the best point of a search.

    Args:
        keys: stated by the command line; they keep their values.
        path: the file that the search wrote; tuned/NAME.yaml if none is stated.
    """
    path = path or Path("tuned") / f"{names.check('name', config.name)}.yaml"
    if not path.is_file():
        raise InputError(
            f"tuned=true: expected {path}; there is none. `python -m pipelines.sweep +experiment={config.name} +sweep=...` "
            "writes it."
        )
    again = f"Delete it; `python -m pipelines.sweep +experiment={config.name} +sweep=...` writes it again."
    nodes: Any = OmegaConf.to_container(trust.load(path, remedy=again)).get("nodes")  # type: ignore[union-attr]
    if not isinstance(nodes, dict):
        raise InputError(f"{path}: expected a group of keys, nodes; received {nodes or 'none'}. {again}")
    own = [name for _, name in imported(OmegaConf.to_container(config))]
    config = config.copy()
    for key, value in nodes.items():
        if key not in keys:
            OmegaConf.update(config, key, value, merge=False, force_add=True)
    tuned = [str(key) for key in nodes if key not in keys]
    validation.check(config, source=lambda key: str(path) if sources.related(key, tuned) else None)
    if others := [key for key in tuned if key.partition(".")[0] not in SEARCHED]:
        raise InputError(
            f"{path}: expected keys that decide what a training yields ({', '.join(SEARCHED)}); received {', '.join(others)}. "
            "Leave them out."
        )
    trust.check(OmegaConf.to_container(config), path, own)  # a dotted key may have set a part of a node
    return config


def choices(overrides: Sequence[str], *, extra: Sequence[Path] = ()) -> dict[str, Any]:
    """The option of each group that the overrides choose, the experiment among them included."""
    with _own_hydra():
        return dict(_compose([*_searchpath(extra), *overrides], parse(overrides), extra).hydra.runtime.choices)


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parses overrides in Hydra's grammar."""
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except OverrideParseException as error:
        hint = "Overrides read key=value, +key=value to add, ~key to remove; quote values with special characters"
        key, _, value = str(error.override).partition("=")
        quoted = f""", in a shell "{key}='{value}'\"""" if key and value and not set("'\"[]{}()$") & {*value} else ""
        lines = [line for line in str(error).splitlines() if not line.startswith(("Error parsing override", "See https://"))]
        reason = " ".join(lines)
        raise InputError(
            f"expected overrides; received {error.override!r}, which is none ({reason}). {hint}{quoted}."
        ) from error


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
                f"data.{key}: expected {value}, as in the prepared data; received {stated}. "
                f"Set data.{key}=null to take it from the data."
            )
    try:
        OmegaConf.resolve(config)
        missing = OmegaConf.missing_keys(config) | {key for key, value in leaves(config) if value == "???"}
    except OmegaConfBaseException as error:
        lacking = re.search(r"Interpolation key 'data\.(\w+)' not found", str(error))
        remedy = ""
        if lacking:
            remedy = f". {config.data.get('_target_')} has no {lacking[1]}. Choose data of another kind, or another model."
        raise InputError(f"expected a configuration that resolves; it does not: {error}{remedy}") from error
    if missing:
        raise InputError(f"expected a value for {', '.join(sorted(missing))}; received ???. Set each by key=value.")
    return config


def resolve_without_facts(config: DictConfig) -> DictConfig:
    """A copy in which every interpolation is resolved, except those that need a fact of the prepared data."""
    resolved = resolve(config)
    for key, value in leaves(config):
        if isinstance(value, str) and "${data." in value and OmegaConf.select(resolved, key) is None:
            OmegaConf.update(resolved, key, value)
    return resolved


def container(config: DictConfig) -> dict[str, Any]:
    """A configuration as a plain container, with every interpolation resolved."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _compose(overrides: Sequence[str], parsed: Sequence[Override], extra: Sequence[Path] = ()) -> DictConfig:
    try:
        return hydra_compose("train", overrides=list(overrides), return_hydra_config=True)
    except MissingConfigException as error:
        group, _, option = str(error.missing_cfg_file or "").rpartition("/")
        names = list(error.options or []) or options(group)
        several = next((one for one in parsed if one.get_key_element() == group and isinstance(one.value(), list)), None)
        if several is not None:
            shown = f"{several.input_line}: expected a list of options; there is no {option} among them"
            raise InputError(f"{shown}. One of: {', '.join(sorted(names))}.") from error
        raise InputError(f"{group}={option}: there is no such option; {nearest(option, names)}.") from error
    except ConfigCompositionException as error:
        raise InputError(sources.refusal(error, extra) or unknown(error, parsed)) from error
    except (yaml.YAMLError, OmegaConfBaseException, OSError, ValueError) as error:  # the latter for a group set to a number
        if (message := sources.refusal(error, extra)) is not None:
            raise InputError(message) from error
        if isinstance(error, OSError):
            raise
        raise InputError(f"expected overrides that compose; received {' '.join(overrides)}: {error}") from error


def _searchpath(extra: Sequence[Path]) -> list[str]:
    return [f"hydra.searchpath=[{','.join(f'file://{path.resolve()}' for path in extra)}]"] if extra else []


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra initialised for conf/, also within a job of a grid, where Hydra's own command line has initialised it already."""
    instance = GlobalHydra.instance()
    own, instance.hydra = instance.hydra, None
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        instance.hydra = own


def _selections(choices: Mapping[str, Any]) -> list[str]:
    """The overrides that choose the same groups, without the experiment and without any value."""
    chosen = {group: option for group, option in choices.items() if not group.startswith("hydra/")}
    kept = [(group, option) for group, option in chosen.items() if group not in (*ADDED, "local") and option is not None]
    added = {group for group, _ in kept if group in EXTRA or ("/" not in group and group not in schema.GROUPS)}
    return [f"{'+' if group in added else ''}{group}={option}" for group, option in kept]
