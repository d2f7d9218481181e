"""The evidence lower bound, and a training of it."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.optim import Adam

from src.data.normalisation import Normalise
from src.layers import priors
from src.models.vae import VAE
from src.optimization import deterministic_noise
from src.protocols import Batch
from src.tasks.variational import Variational
from tests.nets import end, fit, metrics, network, optimization, same, values

SMALL = partial(VAE, input_shape=(1, 8, 8), channels=[], hidden=[16], latent_size=3)
SETTINGS = {"model": SMALL, "metric": "val/negative_elbo", "optimizer": partial(Adam, lr=0.01)}


def task(**settings) -> Variational:
    torch.manual_seed(0)
    return Variational(
        model=SMALL(),
        preprocess=Normalise(mean=np.array([0.3]), std=np.array([0.2])),
        optimization=optimization(),
        **settings,
    )


def batch(variational: Variational, count: int = 5) -> tuple[Batch, torch.Tensor]:
    """Preprocessed examples, and their pixels from 0 to 1."""
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    return Batch(variational.preprocess(pixels), torch.zeros(count), torch.arange(count)), pixels / 255


@torch.no_grad()
def test_it_is_the_bound_of_the_paper():
    variational = task().eval()
    examples, pixels = batch(variational)
    reconstruction = variational.model(examples.input)
    mean, log_variance = variational.model.encoder(examples.input).chunk(2, dim=1)
    assert torch.equal(reconstruction.latent, mean)
    posterior = Normal(mean, (log_variance / 2).exp())
    latent = posterior.mean + posterior.stddev * deterministic_noise.normal(examples.input, 3)
    likelihood = Bernoulli(logits=variational.model.decoder(latent), validate_args=False).log_prob(pixels).sum(dim=(1, 2, 3))
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1)
    outcome = variational.step(examples)
    assert float(outcome.loss) == pytest.approx(float((divergence - likelihood).mean()), rel=1e-5)
    measured = metrics(variational, outcome)
    assert measured["negative_elbo"] == pytest.approx(float(outcome.loss), rel=1e-6)
    assert measured["kl"] == pytest.approx(float(divergence.mean()), rel=1e-5)
    outputs = variational.predict(examples.input)
    assert torch.allclose(outputs["error"] + outputs["kl"], divergence - likelihood, rtol=1e-4)
    assert torch.allclose(outputs["reconstruction"], variational.generate(outputs["latent"]))


@torch.no_grad()
def test_beta_weighs_the_divergence_in_the_loss_alone():
    losses, bounds = [], []
    for beta in (0.0, 1.0, 4.0):
        variational = task(beta=beta).eval()
        outcome = variational.step(batch(variational)[0])
        losses.append(float(outcome.loss))
        bounds.append(metrics(variational, outcome)["negative_elbo"])
    assert bounds[0] == bounds[1] == bounds[2]
    assert losses[2] - losses[0] == pytest.approx(4 * (losses[1] - losses[0]), rel=1e-3)
    assert losses[1] > losses[0]


@torch.no_grad()
def test_the_weight_rises_from_zero_over_the_warm_up():
    variational = task(warm_up=10).train()
    examples, _ = batch(variational)
    torch.manual_seed(3)
    outcome = variational.step(examples)  # before the first step
    assert float(outcome.loss) == pytest.approx(float(outcome.prediction[:, 0].mean()), rel=1e-6)
    outcome = variational.eval().step(examples)
    assert float(outcome.loss) == pytest.approx(float(outcome.prediction.sum(dim=1).mean()), rel=1e-6)


@pytest.mark.parametrize("settings", [{"beta": -1.0}, {"warm_up": -1}])
def test_negative_settings_are_refused(settings):
    with pytest.raises(ValueError, match="beta and warm_up of at least 0"):
        task(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("prior", [priors.Normal, partial(priors.Mixture, components=5)])
def test_it_learns_and_continues_exactly(prior, images, tmp_path):
    data = images()
    settings = {**SETTINGS, "model": partial(SMALL, prior=prior)}
    ends = []
    for number, (epochs, more) in enumerate([(4, None), (2, 4)]):
        folder = tmp_path / f"{number}"
        fit(network(data, task=partial(Variational, warm_up=20), max_epochs=epochs, steps_per_call=3, **settings), data, folder)
        if more:
            learner = network(data, task=partial(Variational, warm_up=20), max_epochs=more, steps_per_call=3, **settings)
            fit(learner, data, folder)
        ends.append(end(folder)["state_dict"])
        bounds = values(folder, "val/negative_elbo")
        assert len(bounds) == 4
        assert bounds[-1] < bounds[0] < 64 * math.log(2) * 1.1
    assert same(*ends)


@pytest.mark.slow
def test_predictions_have_the_validated_bound(images, tmp_path):
    data = images()
    learner = network(data, task=Variational, max_epochs=1, **SETTINGS)
    fit(learner, data, tmp_path / "run")
    outputs = list(learner.predict(data, data.rows("val")))
    bound = np.concatenate([part["error"] + part["kl"] for part in outputs]).mean()
    assert values(tmp_path / "run", "val/negative_elbo") == [pytest.approx(float(bound), rel=1e-5)]
    package = learner.package(tmp_path / "model", data.inputs(data.rows("val")[:4]).astype(np.float32))
    program = torch.export.load(tmp_path / "model" / package["file"]).module()
    stored = torch.from_numpy(data.inputs(data.rows("val")).astype(np.float32))
    expected = np.concatenate([part["reconstruction"] for part in outputs])
    assert np.allclose(program(stored).detach().numpy(), expected, atol=1e-5)
    samples = learner.generate(np.zeros((600, 3), dtype=np.float32))
    assert samples.shape == (600, 1, 8, 8)
    assert 0 <= samples.min() <= samples.max() <= 1
