"""From the folder of a run, or one that a train stage exported, to its experiment with the best weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import assembly, run_folders, trust
from src.data.unseen import Unseen
from src.errors import InputError
from src.experiment import Experiment
from src.runs import identity
from src.runs.files import REMEDY, read_json
from src.runs.folder import CONFIG_KEYS, EXPORTED_KEYS, Run


def restore(folder: Path, *, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment of a run folder, or of a folder that a train stage exported, with its best weights.

    Args:
        overrides: nodes of the configuration, as paths and tracking where the folder's own leaves them out. A node with a
            `_target_` replaces the folder's own; the keys of any other node are merged into it.
    """
    path, overrides = folder / "config.yaml", overrides or {}
    config: Any = _stored(folder, [key for key in CONFIG_KEYS if key not in overrides])
    replaced = {key: None for key, node in overrides.items() if isinstance(node, Mapping) and "_target_" in node}
    config = OmegaConf.merge(config, replaced, overrides)
    assert isinstance(config, DictConfig)
    OmegaConf.resolve(config)
    experiment = assembly.build(config, assembly.prepare(config, file=path), begin=False)
    experiment.learner.load(weights(folder))
    return experiment


def for_predictions(folder: Path, *, analyses: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment of such a folder for raw inputs. Its own data need not be on this machine; it has no examples.

    Args:
        analyses: nodes by key, in place of the folder's own.
    """
    config = _stored(folder, EXPORTED_KEYS)
    for key in run_folders.KEYS:  # other runs, which only the evaluation of a split asks
        if OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, None)
    for key in identity.ANALYSES:
        config[key] = (analyses or {}).get(key)
    OmegaConf.resolve(config)
    card = read_json(Run(folder).data, keys=("arrays", "classes", "statistics"))
    if not card:  # a run of an earlier time
        if "paths" not in config:
            raise InputError(f"{folder}: expected data_card.json, the card of its data; there is none. Export it: dvc repro")
        card = assembly.prepare(config, file=Run(folder).config).card
    experiment = assembly.build(config, Unseen(folder, card), begin=False)
    experiment.learner.load(weights(folder))
    return experiment


def _stored(folder: Path, keys: Sequence[str]) -> DictConfig:
    """The configuration of such a folder, with these keys.

    Raises:
        InputError: there is none, or it is not whole, or it names something foreign.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(
            f"{folder}: expected the folder of a run, with a config.yaml; there is none. `ls runs` shows the runs."
        )
    return trust.load(path, keys=keys, remedy=REMEDY)


def weights(folder: Path) -> Path:
    """The file with the best weights of a finished run, or with those that a train stage exported."""
    for name in ("best.ckpt", "weights.safetensors", "weights.skops"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: expected a finished run with best.ckpt; there is none. Train it to its end first.")
