"""The feed-forward net as configured: any depth, any activation."""

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from src.config import composition


def composed(*settings: str) -> nn.Module:
    config = composition.compose(["model=fnn", "data.shape=[1,4,4]", *settings])
    model = instantiate(OmegaConf.to_container(composition.resolve(config))["model"])  # type: ignore[index]
    assert isinstance(model, nn.Module)
    return model


def kinds(model: nn.Module) -> list[type[nn.Module]]:
    return [type(layer) for layer in model.modules() if not list(layer.children())]


def test_each_hidden_layer_has_its_norm_activation_and_dropout():
    model = composed(
        "model.hidden=[8,6,4]", "model.activation._target_=torch.nn.GELU", "model.batch_norm=true", "model.dropout=0.5"
    )
    assert kinds(model) == [nn.Flatten, *3 * [nn.Linear, nn.BatchNorm1d, nn.GELU, nn.Dropout], nn.Linear]


def test_without_hidden_layers_it_is_linear():
    assert kinds(composed("model.hidden=[]")) == [nn.Flatten, nn.Linear]


def test_an_activation_may_have_settings_of_its_own():
    model = composed("model.activation._target_=torch.nn.LeakyReLU", "+model.activation.negative_slope=0.3")
    assert [layer.negative_slope for layer in model.modules() if isinstance(layer, nn.LeakyReLU)] == [0.3]


@pytest.mark.parametrize("depth", [1, 20])
def test_any_depth(depth):
    model = composed(f"model.hidden={[5] * depth}")
    assert sum(isinstance(layer, nn.Linear) for layer in model.modules()) == depth + 1
    assert model(torch.randn(2, 1, 4, 4)).shape == (2, 10)
