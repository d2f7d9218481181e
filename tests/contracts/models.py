"""Every model of conf/model, at the small size that its file names in a line `# contract: ...`.

A model that stays large at any size says `# contract (long): ...`, and is left to the tier of that name.
"""

import re
from functools import cache
from typing import Any

import torch
from hydra.utils import get_object, instantiate
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


def kind(name: str) -> type:
    """The class of a model; of one that a function makes, the class of what it makes.

    What cannot be imported counts as a network, whose tests then say why; the tests of all others go on.
    """
    try:
        target = get_object(OmegaConf.load(checks.CONF / "model" / f"{name}.yaml")._target_)
        return target if isinstance(target, type) else type(instantiate(small(name)["model"]))
    except Exception:
        return nn.Module


def is_a_pair(network: type) -> bool:
    """Whether it is two networks, which are called one by one."""
    return "generator" in getattr(network, "__annotations__", {})


KINDS = {name: kind(name) for name in MODELS}
ALL_NETWORKS = [name for name, made in KINDS.items() if issubclass(made, nn.Module)]
LANGUAGE = [name for name in ALL_NETWORKS if hasattr(KINDS[name], "extend")]  # test_language_models.py has their contract
NETWORKS = [name for name in ALL_NETWORKS if not is_a_pair(KINDS[name]) and name not in LANGUAGE]
PAIRS = [name for name in ALL_NETWORKS if is_a_pair(KINDS[name])]
ESTIMATORS = [name for name in MODELS if name not in ALL_NETWORKS]
PROJECTIONS = [name for name in ESTIMATORS if not hasattr(KINDS[name], "predict")]
CLASSICAL = [name for name in ESTIMATORS if name not in PROJECTIONS]


def build(name: str, shape: list[int] | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = instantiate(small(name, shape)["model"])
    assert isinstance(model, nn.Module)
    return model


def examples(name: str, count: int = 6) -> tuple[Any, Tensor]:
    """Inputs and classes. Texts have from 1 token to as many as the longest one."""
    data = small(name)["data"]
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(count) % data["num_classes"]
    if "vocabulary" not in data:
        return torch.randn(count, *data["shape"], generator=generator), target
    longest, padding = data["longest"], data["padding"]
    length = torch.arange(count) % longest + 1
    length[0] = longest
    tokens = torch.randint(padding + 1, data["vocabulary"], (count, longest), generator=generator, dtype=torch.int32)
    return {"tokens": tokens.masked_fill(torch.arange(longest) >= length[:, None], padding), "length": length}, target


def rows(x: Any, index: slice) -> Any:
    """Some examples of an input, whose padding goes with the longest of them."""
    if isinstance(x, Tensor):
        return x[index]
    length = x["length"][index]
    return {"tokens": x["tokens"][index, : length.max()], "length": length}


def outputs(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [part for part in output if part is not None]
