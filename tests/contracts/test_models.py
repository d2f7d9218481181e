"""What every network of conf/model must do."""

import io
import re
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from src.protocols import Heads, Reconstruction
from tests.contracts.models import (
    CLASSICAL,
    LANGUAGE,
    MODELS,
    NETWORKS,
    PAIRS,
    PROJECTIONS,
    build,
    examples,
    large,
    outputs,
    rows,
    small,
)
from tests.contracts.shipped import shipped

LARGE = [pytest.mark.long, pytest.mark.timeout(900)]
SAME_CLASS = ("rnn", "lstm", "minilm")  # as gru and hugging_face, which the quick tests have


def spread(target: Tensor, output: Tensor) -> Tensor:
    """The class of each example, repeated for each pixel where the output has pixels."""
    return target.view(-1, *[1] * (output.ndim - 2)).expand(len(output), *output.shape[2:])


def loss(output: Any, x: Tensor, target: Tensor) -> Tensor:
    if isinstance(output, Heads):
        return cross_entropy(output.logits, target) + sum(
            share * cross_entropy(part, target) for part, share in output.auxiliary
        )
    if isinstance(output, Tensor):
        return cross_entropy(output, spread(target, output))
    divergence = 0 if output.divergence is None else 1e-4 * output.divergence.mean()
    return mse_loss(output.output, x) + divergence


def parameters(names: list[str]) -> list[Any]:
    return [
        pytest.param(name, marks=LARGE if large(name) else pytest.mark.slow if name in SAME_CLASS else []) for name in names
    ]


@pytest.fixture(params=parameters(NETWORKS))
def name(request) -> str:
    return request.param


@pytest.fixture(params=parameters([name for name in NETWORKS if name in shipped("model")]))
def ours(request) -> str:
    """A network of this repository, which keeps the repository's own rules."""
    return request.param


def test_every_model_is_of_a_kind_that_has_a_contract():
    assert {"cnn", "fnn", "lenet", "autoencoder", "unet", "sparse_autoencoder", "vae", "resnet_small", "vit_tiny"} <= set(
        NETWORKS
    )
    assert {"alexnet", "vgg11", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet50"} <= set(filter(large, NETWORKS))
    assert {"random_forest", "most_frequent"} <= set(CLASSICAL)
    assert {"tfidf_logistic", "naive_bayes"} <= set(CLASSICAL)
    assert {"textcnn", "rnn", "lstm", "gru", "bert_tiny"} <= set(NETWORKS)
    assert "dcgan" in PAIRS
    assert "pca" in PROJECTIONS
    assert sorted([*NETWORKS, *LANGUAGE, *PAIRS, *CLASSICAL, *PROJECTIONS]) == sorted(MODELS)


def test_a_network_lies_in_the_file_of_its_name(ours):
    """The rest of its name may state its size. A library's network is in the file that has the library's name.

    Recurrent networks of several kinds are one class, and so are pretrained ones of a library.
    """
    model = small(ours)["model"]
    file, network = model["_target_"].removeprefix("src.models.").partition(".")[0], model.get("network", {})
    if file == "hugging_face":
        assert model["architecture"]
    elif "kind" in model:
        assert (ours, file) == (model["kind"], "recurrent")
    else:
        assert ours == file or ours.startswith(f"{file}_") or network["_target_"] == f"torchvision.models.{ours}"


def test_the_shape_of_the_answer(name):
    x, _ = examples(name)
    output = build(name).eval()(x)
    if isinstance(output, Reconstruction):
        assert output.output.shape == x.shape
        assert output.latent.shape[0] == len(x)
        assert output.latent[0].numel() < x[0].numel()
    else:
        assert output.shape[:2] == (6, small(name)["data"]["num_classes"])
        assert output.ndim == 2 or output.shape[2:] == x.shape[2:]  # one for an example, or one for each of its pixels
    assert all(part.dtype == torch.float32 and part.isfinite().all() for part in outputs(output))


def test_every_parameter_gets_a_finite_gradient(name):
    model = build(name).train()
    x, target = examples(name)
    loss(model(x), x, target).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


def test_it_learns_a_batch_by_heart(name):
    model = build(name).train()
    x, target = examples(name, 12)
    optimizer = torch.optim.Adam(model.parameters(), lr=small(name)["optimizer"]["lr"])
    for step in range(250):
        if step % 25 == 0 and known(model, x, target):
            break
        optimizer.zero_grad()
        loss(model(x), x, target).backward()
        optimizer.step()
    assert known(model, x, target)


@torch.no_grad()
def known(model: nn.Module, x: Tensor, target: Tensor) -> bool:
    """Whether its output is right in evaluation mode, where normalisation uses the running statistics."""
    output = model.eval()(x)
    model.train()
    if isinstance(output, Reconstruction):
        return bool(loss(output, x, target) < 0.3 * x.var())
    return bool((output.argmax(dim=1) == spread(target, output)).all())


def test_it_is_deterministic_in_evaluation(name):
    model = build(name).eval()
    x, _ = examples(name)
    with torch.no_grad():
        first, second = outputs(model(x)), outputs(model(x))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_in_evaluation_an_answer_does_not_depend_on_the_rest_of_the_batch(name):
    model = build(name).eval()
    x, _ = examples(name)
    with torch.no_grad():
        together = outputs(model(x))
        singles = [outputs(model(rows(x, slice(one, one + 1)))) for one in range(6)]
    for i, part in enumerate(together):
        size = max(1.0, float(part.abs().max()))  # of Inception before its averages are known: millions
        assert torch.allclose(part, torch.cat([single[i] for single in singles]), atol=1e-5 * size)


def test_its_state_goes_there_and_back(name):
    one = build(name).train()
    x, target = examples(name)
    loss(one(x), x, target).backward()  # a step that moves running statistics too
    torch.optim.SGD(one.parameters(), lr=0.1).step()
    buffer = io.BytesIO()
    torch.save(one.state_dict(), buffer)
    buffer.seek(0)
    torch.manual_seed(1)
    other = instantiate(small(name)["model"])
    before = outputs(other.eval()(x))
    other.load_state_dict(torch.load(buffer, weights_only=True))
    after, expected = outputs(other.eval()(x)), outputs(one.eval()(x))
    assert all(torch.equal(a, b) for a, b in zip(after, expected, strict=True))
    assert not torch.equal(before[0], after[0])


def test_the_seed_alone_decides_its_weights(name):
    one, other = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_it_can_be_exported_for_any_number_of_examples(name):
    model = build(name).eval()
    x, _ = examples(name)
    free = torch.export.Dim.AUTO
    shapes: Any = {0: free} if isinstance(x, Tensor) else {"tokens": {0: free, 1: free}, "length": {0: free}}
    program = torch.export.export(model, (x,), dynamic_shapes=[shapes]).module()
    for part in (slice(0, 1), slice(1, 4)):
        own = rows(x, part)
        for one, other in zip(outputs(program(own)), outputs(model(own)), strict=True):
            assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_any_size_works_or_is_refused_with_one_that_does(ours):
    if "shape" not in small(ours)["data"]:
        pytest.skip("it takes no pictures")
    """A network needs a smallest size, all above which work, or a multiple of one, of which the message names the next."""
    refused, worked = {}, set()

    def works(*size: int) -> bool:
        channels = 1 + 2 * (size[0] % 2)  # one or three
        try:
            with torch.device("meta"):  # shapes are computed, and nothing else
                model = build(ours, [channels, *size]).eval()
        except Exception as error:  # instantiate wraps what the constructor raised
            cause = error.__cause__
            assert isinstance(cause, ValueError), cause
            assert f"received {size[0]}x{size[1]}" in str(cause)
            refused[size] = str(cause)
            return False
        return len(outputs(model(torch.zeros(2, channels, *size, device="meta")))[0]) == 2

    usual = {tuple(small(ours)["data"]["shape"][1:])} if large(ours) else {(28, 28), (28, 32), (32, 32)}
    squares = [(size, size) for size in (*range(1, 17), 32)]
    sizes = [*usual, *squares, (3, 4), (4, 8), (7, 8), (8, 12), (11, 12), (15, 16), (16, 20), (28, 29), (32, 36)]
    worked.update(size for size in sizes if works(*size))
    assert usual <= worked
    for size, message in list(refused.items()):
        (named,) = re.findall(r"(\d+)x(\d+) pixels", message)
        fits = tuple(map(int, named))
        assert works(*fits), message
        assert all(length >= own for length, own in zip(fits, size, strict=True)) or "at least" in message
        if "at least" in message:
            assert min(size) < min(fits) == min(min(other) for other in worked), message


def test_the_smallest_size_of_the_convolutional_ones():
    for name, smallest in (("cnn", 4), ("lenet", 12)):
        with pytest.raises(Exception, match=f"at least {smallest}x{smallest} pixels") as caught:
            build(name, [1, smallest - 1, smallest])
        assert isinstance(caught.value.__cause__, ValueError)
        assert isinstance(build(name, [1, smallest, smallest]), nn.Module)
