"""Keys of a configuration that name a run: they may state its folder, the name of that folder, or its id in MLflow."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.config import composition
from src.runs import finding

KEYS = ("evaluation.classifier",)  # pretrained.weights may name other things too, and finds its run by itself


def resolved(config: DictConfig, *, runs: Path | None = None) -> DictConfig:
    """The configuration, in which each of these keys states a folder.

    Args:
        runs: the folder of runs; the configuration's own if none is stated.

    Raises:
        InputError: there is no such run.
    """
    for key in KEYS:
        name = OmegaConf.select(config, key)
        if name is not None:
            folder = finding.folder(key, str(name), runs=runs or Path(config.paths.runs))
            OmegaConf.update(config, key, str(folder))
    return config


def resumed(name: str, overrides: Sequence[str], *, extra: Sequence[Path]) -> Path:
    """The folder of a run to be trained further.

    Args:
        overrides: of the command line, which may name another folder of runs.

    Raises:
        InputError: there is no such run.
    """
    paths = [override for override in overrides if override.startswith("paths.runs=")]
    return finding.folder("resume", name, runs=Path(composition.compose(paths, extra=extra).paths.runs))
