"""The configuration of a run that is trained further: its own, with other values where its checkpoint allows them."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from src.config import composition, machine, trust, validation
from src.config.checks import CONF, check_types, leaves, nearest
from src.errors import InputError
from src.runs.files import REMEDY
from src.runs.folder import CONFIG_KEYS

LENGTHS = ("scheduler.T_max", "scheduler.total_steps")  # they follow the new length of the training


def resumed(folder: Path, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a run to be trained further, with the values that the overrides change.

    Args:
        folder: of the run.

    Raises:
        InputError: it is no run, or an override changes what the checkpoint restores.
    """
    if not (folder / "config.yaml").is_file():
        raise InputError(
            f"resume={folder}: expected the folder of a run; there is no config.yaml in it. `ls runs` shows the runs."
        )
    plain = trust.load(folder / "config.yaml", keys=CONFIG_KEYS, remedy=REMEDY)
    for key in ("cluster", "trust"):  # no run of ours states one
        plain.pop(key, None)
    config = machine.localised(plain, folder / "config.yaml")
    plain = config.copy()
    parsed = composition.parse(overrides)
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
                f"resume={folder}: expected {key} as it was, because the training continues with its state; received "
                f"{override.input_line}. Leave it out, or start a training from the weights: pretrained.weights={folder}."
            )
        if not override.is_add() and key not in names and OmegaConf.select(plain, key, default=...) is ...:
            raise InputError(f"{key}: there is no such option in {folder}; {nearest(key, names)}.")
        if override.is_delete():
            parent, _, name = key.rpartition(".")
            del (OmegaConf.select(config, parent) if parent else config)[name]
        else:
            OmegaConf.update(config, key, override.value(), force_add=True)
    check_types(plain, config, parsed)
    validation.check_values(config)
    config.resume = str(folder)
    return config


def _restored(override: Override, plain: DictConfig) -> bool:
    """Whether an override changes what a checkpoint restores: settings of an optimizer, a schedule or a callback.

    The length of a schedule may change, and callbacks may be added and removed.
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
