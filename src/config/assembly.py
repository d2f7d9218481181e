"""From a configuration to the objects of one experiment."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import composition, machine
from src.config.instantiation import make
from src.data import store
from src.data.base import Data
from src.data.store import Prepared
from src.errors import InputError
from src.experiment import Analysis, Evaluation, Experiment
from src.learner import Learner
from src.protocols import Objective
from src.runs import identity, names

# keys of data that its class does not take: its preparation reads them, its task, or the check of the pair of data and task
PREPARING = (
    *("dataset", "file", "arrays", "table", "root", "columns", "size", "channels", "storage", "tile", "stride", "labels"),
    *("ignored", "splits", "count", "max_unreadable", "gives", "num_targets", "target_mean", "target_std"),
    *("path", "val_path", "test_path", "encoding", "text", "target", "tokenizer", "max_tokens"),
)


def prepare(config: DictConfig, *, file: Path | None = None) -> Prepared:
    """The prepared data set of a configuration. It is prepared first where it does not exist yet.

    Args:
        file: that the configuration was read from. Data that do not exist yet are then prepared and downloaded into folders of
            the user's own, wherever the file says.
    """
    names.check("name", plain(config, "name"))
    for key in config.get("paths") or ():
        names.check_folder(f"paths.{key}", plain(config, f"paths.{key}"))
    dataset = plain(config, "data.dataset")
    name = names.check("data.dataset.name", dataset["name"])
    source = make(dataset["source"], "data.dataset.source")
    code = identity.code([*identity.targets(dataset["source"]), "src.data.store.prepare"])
    key = identity.digest({"dataset": dataset, "state": source.state(), "code": code})[:8]
    folder = Path(plain(config, "paths.prepared")) / f"{name}-{key}"
    if file is not None and not (folder / "card.json").is_file():
        return prepare(machine.localised(config, file))
    rest = {key: value for key, value in dataset.items() if key not in ("source", "name")}
    return store.prepare(folder, source, name=name, **rest)


def complete(config: DictConfig, prepared: Prepared) -> DictConfig:
    """The configuration resolved, with the data's own facts filled in or checked, and the machine's precision chosen."""
    resolved = composition.resolve(config, facts=prepared.facts)
    if OmegaConf.select(resolved, "trainer.precision") == "auto":
        import torch  # it takes seconds, which only this value needs

        from src.optimization import hardware

        with torch.device("meta"):  # its layers without their weights
            network = make(plain(resolved, "model"), "model")
        resolved.trainer.precision = hardware.precision(resolved.trainer.accelerator, network)
    content = composition.container(resolved)
    if (node := _pretrained(content)) is not None:
        resolved.pretrained.content = _weights(content, node)[1]
    return resolved


def build(config: DictConfig, prepared: Prepared, *, begin: bool = True) -> Experiment:
    """The objects of a resolved configuration; the network has the weights that a training begins with.

    Args:
        begin: whether to load the `pretrained` weights; False where others are loaded afterwards.
    """
    content = composition.container(config)
    data = data_of(content, prepared)
    evaluation = make(content["evaluation"], "evaluation", Evaluation, data=data)
    augmentation = _augmentation(content)
    analyses = {key: _with_steps(content[key], key, Analysis) for key in identity.ANALYSES if content.get(key)}
    learner = make(
        content["trainer"],
        "trainer",
        Learner,
        model=partial(_network, content, begin=begin),
        task=partial(_task, content),
        callbacks=lambda: [make(node, f"callbacks.{name}") for name, node in content["callbacks"].items()],
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


def data_of(content: Mapping[str, Any], prepared: Prepared) -> Data:
    """The data of a configuration, from a store of examples.

    Args:
        content: the configuration, resolved.
    """
    return make(data_node(content), "data", Data, prepared=prepared)


def data_node(content: Mapping[str, Any]) -> dict[str, Any]:
    """The `_target_` of the data and its arguments, as plain values."""
    return {key: value for key, value in content["data"].items() if key not in PREPARING}


def plain(config: DictConfig, key: str) -> Any:
    """One node of the configuration, resolved, as a plain container."""
    node = OmegaConf.select(config, key)
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _pretrained(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The node of initial weights; None where all are fresh, or the resumed run has them."""
    node = content.get("pretrained") or {}
    return node if node.get("weights") and not content.get("resume") else None


def _weights(content: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The initial weights and their SHA-256.

    Raises:
        InputError: the configuration states another SHA-256.
    """
    from src.pretrained import weights  # it imports torch

    tensors = weights.read(str(node["weights"]), runs=Path(content["paths"]["runs"]), tracking=content["tracking"]["uri"])
    digest = weights.digest(tensors)
    if node["content"] not in (None, digest):
        raise InputError(
            f"pretrained.weights={node['weights']}: expected the weights with the SHA-256 {node['content']}, which the "
            f"configuration states; these have {digest}. Name those, or leave pretrained.content=null."
        )
    return tensors, digest


def _network(content: Mapping[str, Any], *, begin: bool) -> Any:
    network = make(content["model"], "model")
    node = _pretrained(content) if begin else None
    if node is not None:
        settings = {key: value for key, value in node.items() if key != "content"}
        make(settings, "pretrained", network=network, pretrained=_weights(content, node)[0])
    return network


def _optional(content: Mapping[str, Any], name: str) -> Any:
    """The object of a node; None where it is null, or the configuration of an older run lacks it."""
    return make(content[name], name) if content.get(name) else None


def _with_steps(node: Mapping[str, Any], where: str, kind: type = object) -> Any:
    """The object of a node with steps. Each step is made by itself, so that a message names the one that is wrong."""
    named = {name: part for name, part in node.items() if isinstance(part, Mapping) and "_target_" in part}
    steps = {name: make(part, f"{where}.{name}") for name, part in named.items()}
    return make({name: part for name, part in node.items() if name not in steps}, where, kind, **steps)


def _augmentation(content: Mapping[str, Any]) -> Any:
    """The augmentation; None where the configuration has none, as those of earlier versions."""
    node = content.get("augmentation")
    return _with_steps(node, "augmentation") if node else None


def _task(content: Mapping[str, Any], **parts: Any) -> Any:
    others = ("rates", "takes")  # the optimization's, and those of the check of the pair of data and task
    settings = {key: value for key, value in content["task"].items() if key not in others}
    return make(settings, "task", **parts)


def _objective(content: Mapping[str, Any]) -> Objective:
    try:
        return Objective(**content["objective"])
    except ValueError as error:
        raise InputError(str(error)) from error
