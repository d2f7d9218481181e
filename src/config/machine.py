"""Where this machine keeps things is the user's own: what a stored configuration says about it is left out."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import composition, trust
from src.runs.masking import mask

SOURCES = "src.data.sources."  # their `folder` is where downloads go


def localised(config: DictConfig, file: Path) -> DictConfig:
    """A copy of a stored configuration with the paths and the tracking store of the user's own.

    The folder of runs that the file itself lies in stays.

    Args:
        file: that the configuration was read from.
    """
    if trust.granted():
        return config
    own, config = composition.compose([]), config.copy()
    values: dict[str, Any] = {f"paths.{key}": own.paths[key] for key in own.paths}
    values["tracking.uri"] = own.tracking.uri
    for key, value in values.items():
        stored = OmegaConf.select(config, key)
        if stored is None or (key == "paths.runs" and Path(stored).resolve() == file.resolve().parent.parent):
            continue
        OmegaConf.update(config, key, value)
        if stored != mask(str(value)):
            print(
                f"{key}: that of {file} is left out, because it may be another machine's; {mask(str(value or 'the default'))} "
                f"is used. For another one: {key}=..., here or in conf/local.",
                file=sys.stderr,
            )
    _set_downloads(OmegaConf.select(config, "data.dataset.source"), own.paths.downloads)
    return config


def _set_downloads(node: Any, folder: str) -> None:
    if not isinstance(node, DictConfig):
        return
    if str(node.get("_target_")).startswith(SOURCES) and "folder" in node:
        node.folder = folder
    for inner in node.values():
        _set_downloads(inner, folder)
