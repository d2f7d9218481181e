"""What every pair of networks of conf/model must do: a generator and a discriminator, which are called separately."""

import io

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.contracts.models import PAIRS, build, examples, small


@pytest.fixture(params=PAIRS)
def name(request) -> str:
    return request.param


def noise(name: str, count: int = 6) -> Tensor:
    return torch.randn(count, small(name)["model"]["latent_size"], generator=torch.Generator().manual_seed(1))


def test_the_discriminator_accepts_what_the_generator_makes(name):
    pair = build(name).eval()
    x, _ = examples(name)
    pictures = pair.generator(noise(name))
    assert pictures.shape == x.shape
    for examples_ in (x, pictures):
        logits = pair.discriminator(examples_)
        assert logits.shape == (len(x), 1)
        assert logits.isfinite().all()


def test_every_parameter_gets_a_finite_gradient(name):
    pair = build(name).train()
    pair.discriminator(pair.generator(noise(name))).square().sum().backward()
    for key, parameter in pair.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


def test_the_discriminator_learns_a_batch_by_heart(name):
    pair = build(name).train()
    x, _ = examples(name, 12)
    real = torch.arange(12) % 2
    optimizer = torch.optim.Adam(pair.discriminator.parameters(), lr=small(name)["optimizer"]["lr"])
    for _ in range(200):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(pair.discriminator(x)[:, 0], real.float()).backward()
        optimizer.step()
    with torch.no_grad():
        assert ((pair.eval().discriminator(x)[:, 0] > 0) == real.bool()).all()


@pytest.mark.slow
def test_the_generator_learns_a_batch_by_heart(name):
    pair = build(name).train()
    x, _ = examples(name)
    wanted = (0.5 * x).sigmoid()
    optimizer = torch.optim.Adam(pair.generator.parameters(), lr=small(name)["optimizer"]["lr"])
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = (pair.generator(noise(name)).sigmoid() - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * wanted.var()


def test_in_evaluation_it_is_deterministic_and_examples_are_independent(name):
    pair = build(name).eval()
    x, _ = examples(name)
    with torch.no_grad():
        for network, batch in ((pair.generator, noise(name)), (pair.discriminator, x)):
            together = network(batch)
            assert torch.equal(network(batch), together)
            assert torch.allclose(torch.cat([network(one[None]) for one in batch]), together, atol=1e-5)


def test_its_state_can_be_loaded(name):
    one = build(name).train()
    one.discriminator(one.generator(noise(name))).sum().backward()  # moves running statistics too
    buffer = io.BytesIO()
    torch.save(one.state_dict(), buffer)
    buffer.seek(0)
    torch.manual_seed(1)
    other = instantiate(small(name)["model"])
    other.load_state_dict(torch.load(buffer, weights_only=True))
    latents = noise(name)
    assert torch.equal(*(pair.eval().discriminator(pair.generator(latents)) for pair in (one, other)))
