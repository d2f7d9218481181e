"""Every model of conf/model, at the small size that its file names in a line `# contract: ...`.

A model that stays large at any size says `# contract (long): ...`, and is left to the tier of that name.
"""

import re
from functools import cache
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from src.config import checks, composition

MODELS = checks.options("model")


@cache
def composed(name: str) -> DictConfig:
    """The configuration of a model at the size of its contract."""
    stated = contracts(name)
    assert len(stated) == 1, f"conf/model/{name}.yaml: expected one line `# contract: data.shape=[...] ...`"
    return composition.compose([f"model={name}", "optimizer.lr=5e-3", *stated[0][1].split()])


def contracts(name: str) -> list[tuple[str, str]]:
    """For each contract in a model's file: `long` or an empty string, and the settings."""
    text = (checks.CONF / "model" / f"{name}.yaml").read_text()
    return re.findall(r"^# contract(?: \((long)\))?: (.+)$", text, re.MULTILINE)


def large(name: str) -> bool:
    return any(tier for tier, _ in contracts(name))


def small(name: str, shape: list[int] | None = None) -> dict[str, Any]:
    """The resolved configuration of a model, with another shape of examples if `shape` is set."""
    config = composed(name).copy()
    if shape:
        config.data.shape = shape
    content: Any = OmegaConf.to_container(composition.resolve(config))
    return content


def own(name: str) -> bool:
    """Whether the model is a network of this repository."""
    return OmegaConf.load(checks.CONF / "model" / f"{name}.yaml")._target_.startswith("src.models.")


def kind(name: str) -> type:
    return get_class(OmegaConf.load(checks.CONF / "model" / f"{name}.yaml")._target_)


def predicts_classes(name: str) -> bool:
    return hasattr(kind(name), "predict_proba")


def is_a_pair(name: str) -> bool:
    """Whether it is two networks, which are called one by one."""
    return "generator" in kind(name).__annotations__


NETWORKS = [name for name in MODELS if own(name) and not is_a_pair(name)]
PAIRS = [name for name in MODELS if own(name) and is_a_pair(name)]
CLASSICAL = [name for name in MODELS if not own(name) and predicts_classes(name)]
PROJECTIONS = [name for name in MODELS if not own(name) and not predicts_classes(name)]


def build(name: str, shape: list[int] | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = instantiate(small(name, shape)["model"])
    assert isinstance(model, nn.Module)
    return model


def examples(name: str, count: int = 6) -> tuple[Tensor, Tensor]:
    data = small(name)["data"]
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(count) % data["num_classes"]
    return torch.randn(count, *data["shape"], generator=generator), target


def outputs(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [part for part in output if part is not None]
