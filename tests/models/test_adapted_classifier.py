"""Torchvision's classifiers: their sizes, how they are adapted to images, and their auxiliary heads."""

from typing import Any

import pytest
import torch
import torchvision
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from src.config import composition
from src.models.adapted_classifier import AdaptedClassifier
from src.optimization import hardware
from src.protocols import Batch, Heads
from src.tasks.classification import Classification
from tests.nets import optimization

# Millions of weights for a thousand classes, as papers and torchvision state them.
PAPERS = {
    "alexnet": 61.10,
    "vgg11": 132.86,
    "vgg16": 138.36,
    "resnet18": 11.69,
    "resnet50": 25.56,
    "googlenet": 13.00,
    "googlenet model.network.aux_logits=false": 6.62,
    "inception_v3": 27.16,
    "inception_v3 model.network.aux_logits=false": 23.83,
}


def composed(settings: str, shape: list[int], classes: int = 3) -> Any:
    config = composition.compose([f"data.shape={shape}", f"data.num_classes={classes}", *f"model={settings}".split()])
    return instantiate(OmegaConf.to_container(composition.resolve(config))["model"])  # type: ignore[index]


def only_shapes(settings: str, shape: list[int], classes: int = 3) -> Any:
    """A network without the numbers of its weights, which takes no time."""
    with torch.device("meta"):
        return composed(settings, shape, classes)


def narrow(**settings: Any) -> AdaptedClassifier:
    """A small network of torchvision."""
    torch.manual_seed(0)
    network = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    return AdaptedClassifier(network, **{"input_shape": [3, 16, 16], **settings})


@pytest.mark.parametrize("settings", PAPERS)
def test_it_has_as_many_weights_as_in_the_papers(settings):
    size = 299 if "inception" in settings else 224
    network = only_shapes(settings, [3, size, size], 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(PAPERS[settings], abs=0.005)
    assert hardware.precision("cpu", network) in ("32-true", "bf16-mixed")


@pytest.mark.parametrize(
    ("settings", "smallest"),
    [
        ("alexnet", 63),
        ("vgg11", 32),
        ("vgg16", 32),
        ("googlenet", 15),
        ("inception_v3", 299),
        ("alexnet model.small_images=true", 7),
    ],
)
def test_the_smallest_images_that_a_network_can_be_trained_on(settings, smallest):
    with pytest.raises(InstantiationException) as caught:
        only_shapes(settings, [3, smallest - 1, smallest])
    message = str(caught.value.__cause__)
    assert f"expected images of at least {smallest}x{smallest} pixels; received {smallest - 1}x{smallest}" in message
    assert f"data.size={smallest}" in message
    assert "model=resnet_small" in message
    assert ("model.small_images=true" in message) == ("small_images" not in settings)
    network = only_shapes(settings, [3, smallest, smallest]).eval()
    assert network(torch.zeros(2, 3, smallest, smallest, device="meta")).shape == (2, 3)


HEADLESS = "model.network.aux_logits=false"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "size", "offered"),
    [
        ("inception_v3", 75, True),
        ("inception_v3", 74, False),  # too small without its head too
        ("inception_v3 model.small_images=true", 28, True),
        (f"inception_v3 {HEADLESS}", 74, False),
        ("alexnet", 62, False),  # it has none
    ],
)
def test_auxiliary_heads_are_left_out_where_that_is_enough(settings, size, offered):
    with pytest.raises(InstantiationException) as caught:
        only_shapes(settings, [1, size, size])
    assert (HEADLESS in str(caught.value.__cause__)) == offered
    if offered:
        network = only_shapes(f"{settings} {HEADLESS}", [1, size, size])
        assert network.network.training
        assert network(torch.zeros(2, 1, size, size, device="meta")).shape == (2, 3)


class Computed(TorchDispatchMode):
    """The names of all that torch computes, forward and backward."""

    def __init__(self):
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ("alexnet", 224),
        ("alexnet", 100),
        ("vgg11", 224),
        ("vgg11", 32),
        ("googlenet", 224),
        ("googlenet", 33),
        ("resnet18", 65),
    ],
)
def test_training_uses_deterministic_operations_only(settings, size):
    network = only_shapes(settings, [3, size, size]).train()
    with Computed() as computed:
        output = network(torch.randn(2, 3, size, size, device="meta"))
        heads = [output] if isinstance(output, torch.Tensor) else [output.logits, *(logits for logits, _ in output.auxiliary)]
        torch.stack(heads).sum().backward()
    assert "convolution_backward" in computed.names
    assert not [name for name in computed.names if "adaptive" in name or "3d" in name or "upsample" in name], computed.names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_deterministic_pooling_changes_neither_values_nor_gradients_nor_names(name):
    size = 70 if name == "alexnet" else 40
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))
    settings = {"num_classes": 3, **({"aux_logits": True, "init_weights": False} if name == "googlenet" else {})}
    results = []
    for adapt in (False, True):
        torch.manual_seed(0)
        library = getattr(torchvision.models, name)(**settings)
        network = AdaptedClassifier(library, input_shape=[3, size, size]).network if adapt else library
        torch.manual_seed(2)
        output = network.train()(images)
        torch.stack([output] if isinstance(output, torch.Tensor) else [*output]).square().sum().backward()
        results.append((output, {key: parameter.grad for key, parameter in network.named_parameters()}))
    (values, gradients), (own, own_gradients) = results
    torch.testing.assert_close(own, values, rtol=1e-4, atol=1e-5)
    assert list(own_gradients) == list(gradients)
    for key, gradient in gradients.items():
        torch.testing.assert_close(own_gradients[key], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()), msg=key)


def test_a_network_that_pools_to_one_number_is_accepted():
    """Most of torchvision's newer ones name one side for both."""
    with torch.device("meta"):
        network = AdaptedClassifier(torchvision.models.mobilenet_v3_small(num_classes=4), input_shape=[1, 32, 32])
    assert network(torch.zeros(2, 1, 32, 32, device="meta")).shape == (2, 4)


def test_images_of_three_channels_get_the_librarys_own_network():
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    own = torchvision.models.shufflenet_v2_x0_5(num_classes=3).eval()
    assert torch.equal(narrow().eval()(x), own(x))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_channels_change_the_first_convolution_alone(channels):
    network = narrow(input_shape=[channels, 16, 16])
    assert network(torch.randn(2, channels, 16, 16)).shape == (2, 3)
    shapes = {name: parameter.shape for name, parameter in narrow().named_parameters()}
    other = {name for name, parameter in network.named_parameters() if parameter.shape != shapes[name]}
    assert other == {"network.conv1.0.weight"}


def test_a_convolution_for_other_channels_keeps_the_variance():
    for channels in (1, 5):
        weight = composed("resnet18", [channels, 32, 32]).network.conv1.weight
        assert weight.shape == (64, channels, 7, 7)
        assert float(weight.detach().std()) == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.1)


def test_small_images_are_not_shrunk_at_the_start():
    small, plain = narrow(small_images=True), narrow()
    assert [(layer.kernel_size, layer.stride) for layer in (small.network.conv1[0],)] == [((3, 3), (1, 1))]
    sizes = []
    for model in (small, plain):
        model.network.stage2.register_forward_hook(lambda module, inputs, output: sizes.append(inputs[0].shape[2]))
        model(torch.randn(2, 3, 16, 16))
    assert sizes == [16, 4]


def test_a_network_without_a_convolution_is_refused():
    with pytest.raises(ValueError, match="expected a network with a Conv2d; Linear has none"):
        AdaptedClassifier(nn.Linear(3, 3), input_shape=[3, 16, 16])


@pytest.mark.slow
def test_auxiliary_heads_are_trained_with_their_weight_and_predict_nothing():
    torch.manual_seed(0)
    network = composed("googlenet", [1, 32, 32])
    task = Classification(model=network, preprocess=nn.Identity(), optimization=optimization())
    batch = Batch(torch.randn(4, 1, 32, 32), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    torch.manual_seed(0)
    heads = network.train()(batch.input)
    assert isinstance(heads, Heads)
    assert [share for _, share in heads.auxiliary] == [0.3, 0.3]
    losses = [cross_entropy(logits, batch.target) for logits in (heads.logits, *(logits for logits, _ in heads.auxiliary))]
    torch.manual_seed(0)
    outcome = task.step(batch)
    assert float(outcome.loss.detach()) == pytest.approx(float((losses[0] + 0.3 * (losses[1] + losses[2])).detach()), rel=1e-4)
    assert torch.allclose(outcome.prediction, heads.logits, atol=1e-5)
    outcome.loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    network.eval()
    assert torch.equal(task.step(batch).prediction, network(batch.input))
    assert float(task.step(batch).loss.detach()) == pytest.approx(
        float(cross_entropy(network(batch.input), batch.target).detach())
    )


def test_auxiliary_heads_with_weight_zero_have_no_output():
    network = composed("googlenet model.auxiliary=0.0", [3, 32, 32]).train()
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 3)
