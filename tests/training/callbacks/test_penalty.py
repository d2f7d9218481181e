"""The L1 penalty is a part of each step."""

from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.optim import SGD

from src.config import composition
from src.training.callbacks.penalty import L1
from tests.nets import FNN_SMALL, end, fit, network

START = {"max_epochs": None, "max_steps": 1, "optimizer": partial(SGD, lr=0.1)}


def weights(images, folder, *callbacks) -> dict[str, torch.Tensor]:
    data = images()
    fit(network(data, callbacks=lambda: list(callbacks), **START), data, folder)
    return end(folder)["state_dict"]


def test_a_step_goes_towards_zero_by_the_penalty(images, tmp_path):
    torch.manual_seed(0)
    before = {f"model.{name}": tensor for name, tensor in FNN_SMALL().state_dict().items()}
    plain = weights(images, tmp_path / "plain")
    pulled = weights(images, tmp_path / "pulled", L1(weight=0.01))
    assert set(plain) == set(before)
    for name, tensor in plain.items():
        expected = tensor - 0.1 * 0.01 * before[name].sign() if tensor.ndim > 1 else tensor
        assert torch.allclose(pulled[name], expected, atol=1e-7), name
    assert not torch.equal(plain["model.layers.1.weight"], pulled["model.layers.1.weight"])


def test_it_is_an_option_of_the_callbacks():
    config = composition.resolve(composition.compose(["callbacks=[early_stopping,l1]", "callbacks.l1.weight=0.5"]))
    assert list(config.callbacks) == ["early_stopping", "l1"]
    actual = instantiate(OmegaConf.to_container(config.callbacks.l1))
    assert isinstance(actual, L1)
    assert actual.weight == 0.5


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="at least 0; received -1"):
        L1(weight=-1)
