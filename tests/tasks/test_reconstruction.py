"""Clean targets of noisy inputs, and few numbers in a latent."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.optim import Adam

from src.data.normalisation import Normalise
from src.models.autoencoder import Autoencoder
from src.models.sparse_autoencoder import SparseAutoencoder
from src.protocols import Batch
from src.tasks.reconstruction import Reconstruction
from tests.nets import end, fit, metrics, network, optimization, same, values

DENSE = partial(Autoencoder, input_shape=(1, 8, 8), hidden=[16], latent_size=4)
SPARSE = partial(SparseAutoencoder, input_shape=(1, 8, 8), hidden=[], latent_size=40)
SETTINGS = {"metric": "val/error", "optimizer": partial(Adam, lr=0.01)}


class Copying(torch.nn.Module):
    """Reconstructs its input exactly, and records it."""

    def forward(self, x):
        self.input = x
        return DENSE()(x)._replace(output=x)


def task(model: torch.nn.Module, **settings) -> Reconstruction:
    preprocess = Normalise(mean=np.array([0.3]), std=np.array([0.2]))
    return Reconstruction(model=model, preprocess=preprocess, optimization=optimization(), **settings)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_noise_is_on_the_input_and_not_on_the_target(training):
    torch.manual_seed(0)
    reconstruction = task(Copying(), noise=0.5).train(training)
    x = torch.randn(50, 1, 8, 8)
    outcome = reconstruction.step(Batch(x, torch.zeros(50), torch.arange(50)))
    assert torch.equal(outcome.target, x)
    assert float((reconstruction.model.input - x).std()) == pytest.approx(0.5, abs=0.03)
    assert float(outcome.loss) == pytest.approx(0.25, abs=0.02)
    other = reconstruction.step(Batch(x.flip(0), torch.zeros(50), torch.arange(50)))
    assert (float(other.loss) == pytest.approx(float(outcome.loss), rel=1e-6)) is not training


@torch.no_grad()
def test_the_error_is_of_the_noisy_input_and_the_reconstruction_of_the_clean_one():
    torch.manual_seed(0)
    reconstruction = task(Copying(), noise=0.5).eval()
    x = torch.randn(20, 1, 8, 8)
    outputs = reconstruction.predict(x)
    assert torch.equal(outputs["reconstruction"], x)
    assert torch.equal(outputs["restored"], outputs["noisy"])
    assert float(outputs["error"].mean()) == pytest.approx(0.25, abs=0.04)
    assert set(task(Copying()).eval().predict(x)) == {"reconstruction", "error", "latent"}


@torch.no_grad()
def test_sparsity_is_in_the_loss_alone():
    torch.manual_seed(0)
    model, x = SPARSE(), torch.randn(6, 1, 8, 8)
    batch = Batch(x, torch.zeros(6), torch.arange(6))
    plain, sparse = (task(model, sparsity=weight).eval() for weight in (0.0, 2.0))
    one, other = plain.step(batch), sparse.step(batch)
    assert float(other.loss - one.loss) == pytest.approx(2 * float(model(x).latent.abs().mean()), rel=1e-4)
    assert metrics(plain, one) == metrics(sparse, other)


@pytest.mark.parametrize("settings", [{"noise": -0.1}, {"sparsity": -1.0}])
def test_negative_settings_are_refused(settings):
    with pytest.raises(ValueError, match="noise and sparsity of at least 0"):
        task(DENSE(), **settings)


def test_a_penalty_makes_latents_sparse(images, tmp_path):
    data = images()
    active = []
    for weight in (0.0, 3.0):
        learner = network(data, model=SPARSE, task=partial(Reconstruction, sparsity=weight), max_epochs=8, **SETTINGS)
        fit(learner, data, tmp_path / f"{weight}")
        learner.load(tmp_path / f"{weight}" / "last.ckpt")
        latents = np.concatenate([part["latent"] for part in learner.predict(data, data.rows("val"))])
        assert latents.min() >= 0
        active.append((latents > 0).mean())
    assert active[1] < 0.5 * active[0]


def test_a_denoising_training_continues_exactly(images, tmp_path):
    data = images()
    ends = []
    for folder, parts in ((tmp_path / "whole", [3]), (tmp_path / "parts", [1, 3])):
        for epochs in parts:
            fit(
                network(data, model=DENSE, task=partial(Reconstruction, noise=0.5), max_epochs=epochs, **SETTINGS), data, folder
            )
        ends.append(end(folder)["state_dict"])
        assert values(folder, "val/error")[-1] < values(folder, "val/error")[0]
    assert same(*ends)
