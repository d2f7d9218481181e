"""A generator and a discriminator."""

import pytest
import torch

from src.models.dcgan import DCGAN


def pair(shape=(1, 8, 8), **settings) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(input_shape=shape, latent_size=5, width=3, **settings)


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 28, 28), (3, 9, 14), (2, 7, 5)])
@pytest.mark.parametrize("spectral_norm", [True, False])
def test_the_discriminator_accepts_what_the_generator_makes(shape, spectral_norm):
    networks = pair(shape, spectral_norm=spectral_norm).eval()
    images = networks.generator(torch.randn(3, 5))
    assert images.shape == (3, *shape)
    assert networks.discriminator(images).shape == (3, 1)


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_every_parameter_gets_a_finite_gradient(spectral_norm):
    networks = pair(spectral_norm=spectral_norm)
    networks.discriminator(networks.generator(torch.randn(6, 5))).square().sum().backward()
    for name, parameter in networks.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_spectral_norm_bounds_the_discriminator():
    networks = pair(spectral_norm=True).train()
    for _ in range(30):
        networks.discriminator(torch.randn(4, 1, 8, 8))
    for layer in networks.discriminator:
        if hasattr(layer, "weight"):
            assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)) == pytest.approx(1, abs=0.05)


def test_its_state_can_be_loaded():
    one, other = pair(), DCGAN(input_shape=(1, 8, 8), latent_size=5, width=3)
    one.discriminator(one.generator(torch.randn(6, 5)))
    other.load_state_dict(one.state_dict())
    latents = torch.randn(2, 5)
    one.eval()
    other.eval()
    assert torch.equal(one.discriminator(one.generator(latents)), other.discriminator(other.generator(latents)))


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match=r"at least 4x4 pixels for its two halvings; received 28x3"):
        pair((1, 28, 3))
