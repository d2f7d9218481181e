"""From a configuration to the objects of one experiment. In src the only caller of Hydra's instantiate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.config import composition
from src.data import store
from src.data.base import Data
from src.data.store import Prepared
from src.errors import InputError, Stop
from src.protocols import Learner, Objective
from src.runs import identity

# keys of data that concern its preparation alone
PREPARING = ("dataset", "root", "size", "channels", "tile", "stride", "labels", "parts", "count")


@dataclass(frozen=True)
class Experiment:
    """What train, evaluate and the record share: one experiment, assembled.

    Args:
        config: resolved, as a plain container.
        augmentation: what changes the training examples, None for nothing.
        analyses: what else is looked at once a part is evaluated, by the key of the configuration.
    """

    config: Mapping[str, Any]
    prepared: Prepared
    data: Data
    learner: Learner
    evaluation: Any
    augmentation: Any = None
    analyses: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.config["name"]


def prepare(config: DictConfig) -> Prepared:
    """The prepared data set that the configuration names; made when it is not there yet."""
    dataset = plain(config, "data.dataset")
    source = _make(dataset["source"], "data.dataset.source")
    code = identity.code([*identity.targets(dataset["source"]), "src.data.store.prepare"])
    key = identity.digest({"dataset": dataset, "state": source.state(), "code": code})[:8]
    folder = Path(plain(config, "paths.prepared")) / f"{dataset['name']}-{key}"
    rest = {key: value for key, value in dataset.items() if key != "source"}
    return store.prepare(folder, source, **rest)


def complete(config: DictConfig, prepared: Prepared) -> DictConfig:
    """The configuration resolved, with the data's own facts filled in or checked, and the machine's precision chosen."""
    resolved = composition.resolve(config, facts=prepared.facts)
    if OmegaConf.select(resolved, "trainer.precision") == "auto":
        import torch  # seconds of import, for this value alone

        from src.optimization import hardware

        with torch.device("meta"):  # its layers without their weights
            network = _make(plain(resolved, "model"), "model")
        resolved.trainer.precision = hardware.precision(resolved.trainer.accelerator, network)
    content: Any = OmegaConf.to_container(resolved)
    if (node := _pretrained(content)) is not None:
        resolved.pretrained.content = _weights(content, node)[1]
    return resolved


def build(config: DictConfig, prepared: Prepared, *, begin: bool = True) -> Experiment:
    """The objects that a resolved configuration describes, the network with the weights that a training begins with.

    Args:
        begin: whether `pretrained` is looked at; what is loaded afterwards would take the place of its weights.
    """
    content: Any = OmegaConf.to_container(config)
    data = _make({key: value for key, value in content["data"].items() if key not in PREPARING}, "data", prepared=prepared)
    evaluation = _make(content["evaluation"], "evaluation", data=data)
    augmentation = _with_steps(content.get("augmentation"), "augmentation")
    analyses = {key: made for key in identity.ANALYSES if (made := _with_steps(content.get(key), key))}
    learner = _make(
        content["trainer"],
        "trainer",
        model=partial(_network, content, begin=begin),
        task=partial(_task, content),
        callbacks=lambda: [_make(node, f"callbacks.{name}") for name, node in content["callbacks"].items()],
        data=data,
        optimizer=_optional(content, "optimizer"),
        scheduler=_optional(content, "scheduler"),
        rates=(content["task"] or {}).get("rates"),
        augmentation=augmentation,
        averaging=_optional(content, "averaging"),
        divergence=_optional(content, "divergence"),
        objective=_objective(content),
        seed=content["seed"],
    )
    return Experiment(
        config=content,
        prepared=prepared,
        data=data,
        learner=learner,
        evaluation=evaluation,
        augmentation=augmentation,
        analyses=analyses,
    )


def restore(folder: Path, *, place: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment of a run folder, or of a folder that a train stage exported, with its best weights.

    Args:
        place: paths and tracking, where the folder's configuration leaves them out, and what else is to be otherwise. A node
            that states its `_target_` takes the place of the folder's own; the keys of any other one go into it.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(
            f"{folder}: expected the folder of a run, with a config.yaml; there is none. `ls runs` shows the runs."
        )
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    place = place or {}
    whole = {key: None for key, node in place.items() if isinstance(node, Mapping) and "_target_" in node}
    config = OmegaConf.merge(config, whole, place)
    assert isinstance(config, DictConfig)
    OmegaConf.resolve(config)
    experiment = build(config, prepare(config), begin=False)
    experiment.learner.load(weights(folder))
    return experiment


def weights(folder: Path) -> Path:
    """The file with the best weights of a finished run, or with those that a train stage exported."""
    for name in ("best.ckpt", "weights.safetensors", "weights.joblib"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: expected a finished run with best.ckpt; there is none. Train it to its end first.")


def cluster(config: DictConfig) -> Any:
    """What submits the run as a job, as the configuration says."""
    return _make(plain(config, "cluster"), "cluster")


def plain(config: DictConfig, key: str) -> Any:
    """One node of the configuration, resolved, as a plain container."""
    node = OmegaConf.select(config, key)
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _pretrained(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The node of initial weights; None where all are fresh, or those of the run that is resumed."""
    node = content.get("pretrained") or {}
    return node if node.get("weights") and not content.get("resume") else None


def _weights(content: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The initial weights and their SHA-256, which is that of the configuration where it states one."""
    from src.pretrained import weights  # it imports torch

    found = weights.read(str(node["weights"]), runs=Path(content["paths"]["runs"]), tracking=content["tracking"]["uri"])
    digest = weights.digest(found)
    if node["content"] not in (None, digest):
        raise InputError(
            f"pretrained.weights={node['weights']}: expected the weights with the SHA-256 {node['content']}, which the "
            f"configuration states; these have {digest}. Name those, or leave pretrained.content=null."
        )
    return found, digest


def _network(content: Mapping[str, Any], *, begin: bool) -> Any:
    network = _make(content["model"], "model")
    node = _pretrained(content) if begin else None
    if node is not None:
        settings = {key: value for key, value in node.items() if key != "content"}
        _make(settings, "pretrained", network=network, found=_weights(content, node)[0])
    return network


def _optional(content: Mapping[str, Any], name: str) -> Any:
    """What a node describes; None where it is null, or a run of an earlier time does not state it."""
    return _make(content[name], name) if content.get(name) else None


def _with_steps(node: Mapping[str, Any] | None, where: str) -> Any:
    """What a node describes; its steps are made one by one, so that a message names the one that is wrong.

    Runs of an earlier time do not state every node.
    """
    if not node:
        return None
    named = {name: part for name, part in node.items() if isinstance(part, Mapping) and "_target_" in part}
    steps = {name: _make(part, f"{where}.{name}") for name, part in named.items()}
    return _make({name: part for name, part in node.items() if name not in steps}, where, **steps)


def _task(content: Mapping[str, Any], **parts: Any) -> Any:
    settings = {key: value for key, value in content["task"].items() if key != "rates"}  # they are the optimization's
    return _make(settings, "task", **parts)


def _objective(content: Mapping[str, Any]) -> Objective:
    try:
        return Objective(**content["objective"])
    except ValueError as error:
        raise InputError(str(error)) from error


def _make(node: Mapping[str, Any], where: str, **parts: Any) -> Any:
    """Instantiates a node; live objects are handed over beside the configuration, never inside it."""
    try:
        made = instantiate(node, _partial_=True)
        return made if node.get("_partial_") else made(**parts)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, Stop):
            raise cause from error
        raise InputError(f"{where}: {node.get('_target_')} cannot be made: {cause}") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, Stop):
            raise
        raise InputError(f"{where}: {node.get('_target_')} refuses its settings: {error}") from error
