"""Attributions of a network trained on the digits, and of networks whose outputs depend on one known region."""

import pytest
import torch
from torch import nn

from src.evaluation.attention import UnsupportedNetwork
from src.evaluation.attribution import GradCam, IntegratedGradients, Occlusion, Saliency
from tests.evaluation.quadrants import SIDE, Quadrants, squares

METHODS = [Saliency(), IntegratedGradients(), GradCam(), Occlusion()]
NAMES = [type(method).__name__ for method in METHODS]


@pytest.fixture(scope="module")
def asked(trained):
    """A network, sixteen of its inputs, and its predictions."""
    experiment, _ = trained
    task = experiment.learner.task.eval()
    images = task.preprocess(torch.from_numpy(experiment.data.inputs(experiment.data.rows("test")[:16])))
    with torch.no_grad():
        return task.model, images, task.model(images).argmax(dim=1)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_a_map_has_the_shape_of_its_image_and_is_the_same_every_time(method, asked):
    network, images, answers = asked
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    maps = method.attribute(network, images, answers)
    assert maps.shape == images.shape
    assert maps.isfinite().all()
    assert maps.flatten(1).abs().sum(dim=1).count_nonzero() > 8
    assert torch.equal(method.attribute(network, images, answers), maps)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_the_map_of_an_image_does_not_depend_on_the_others(method, asked):
    network, images, answers = asked
    together = method.attribute(network, images, answers)
    singly = torch.cat([method.attribute(network, images[i : i + 1], answers[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(singly, together[:4], atol=1e-4, rtol=1e-3)


def test_integrated_gradients_add_up_to_what_the_image_adds_to_the_answer(asked):
    network, images, answers = asked
    attributed = IntegratedGradients(steps=256).attribute(network, images, answers).flatten(1).sum(dim=1)
    with torch.no_grad():
        scores, nothing = (network(batch).gather(1, answers[:, None])[:, 0] for batch in (images, torch.zeros_like(images)))
    torch.testing.assert_close(attributed, (scores - nothing).double().to(attributed.dtype), atol=0.02, rtol=0.01)


@pytest.mark.parametrize("method", [IntegratedGradients(), GradCam(), Occlusion()], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_map_lies_where_the_answer_comes_from(method, channels):
    network = Quadrants(channels=channels).eval()
    images, answers, near = squares(channels)
    assert network(images).argmax(dim=1).tolist() == answers.tolist()
    maps = method.attribute(network, images, answers).sum(dim=1).abs()
    shares = (maps * near).flatten(1).sum(dim=1) / maps.flatten(1).sum(dim=1)
    assert (shares > 0.8).all(), shares


def test_another_answer_has_another_map():
    network, (images, answers, near) = Quadrants().eval(), squares(1)
    maps = IntegratedGradients().attribute(network, images, (answers + 1) % 4)[:, 0].abs()
    assert ((maps * near).flatten(1).sum(dim=1) < 0.3 * IntegratedGradients().attribute(network, images, answers).sum()).all()


def test_a_layer_that_computes_in_place_does_not_change_the_map():
    images, answers, _ = squares(1)
    plain, inplace = (GradCam().attribute(Quadrants(inplace=way).eval(), images, answers) for way in (False, True))
    assert torch.equal(plain, inplace)


def test_the_maps_are_taken_behind_the_normalisation_of_the_last_convolution(asked):
    from captum.attr import LayerAttribution, LayerGradCam

    network, images, answers = asked
    coarse = LayerGradCam(network, network.features[5]).attribute(images, target=answers, relu_attributions=True)
    expected = LayerAttribution.interpolate(coarse, (8, 8), interpolate_mode="bilinear")
    assert isinstance(network.features[5], nn.BatchNorm2d)
    assert torch.equal(GradCam().attribute(network, images, answers), expected)


def test_a_network_without_convolutions_has_no_map_of_the_last_one():
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 4))
    with pytest.raises(UnsupportedNetwork, match="no convolution"):
        GradCam().attribute(network, *squares(1)[:2])


@pytest.mark.parametrize("window", [0.0, 1.5])
def test_a_window_that_is_no_share_is_refused(window):
    with pytest.raises(ValueError, match=f"window above 0 and up to 1; received {window}"):
        Occlusion(window=window)


def test_too_few_steps_are_refused():
    with pytest.raises(ValueError, match="at least 2 steps; received 1"):
        IntegratedGradients(steps=1)
