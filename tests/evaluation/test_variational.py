"""Scores and figures of a small variational autoencoder."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.optim import Adam

from src.evaluation import generation, latents, scoring
from src.evaluation.variational import Variational
from src.layers.priors import Mixture
from src.models.vae import VAE
from src.tasks import variational
from tests.nets import network


@pytest.fixture
def experiment(images):
    data = images()
    model = partial(VAE, input_shape=(1, 8, 8), channels=[4], hidden=[], latent_size=3)
    learner = network(
        data, model=model, task=variational.Variational, metric="val/negative_elbo", optimizer=partial(Adam, lr=0.01)
    )
    evaluation = Variational(data=data, headline={"negative_elbo": "min", "kl": None})
    config = {"seed": 0, "model": {"latent_size": 3}}
    return SimpleNamespace(data=data, prepared=data.prepared, learner=learner, evaluation=evaluation, config=config)


def test_the_bound_is_the_sum_of_its_terms(experiment):
    result = scoring.evaluate(experiment, "test")
    assert list(result.table.columns) == ["index", "target", "prediction", "kl", "latent_0", "latent_1", "latent_2"]
    metrics = result.metrics
    assert metrics["test/negative_elbo"] == pytest.approx(metrics["test/kl"] + metrics["test/cross_entropy"])
    low, high = result.intervals["test/negative_elbo"]
    assert low < metrics["test/negative_elbo"] < high
    assert scoring.evaluate(experiment, "test").metrics == metrics


def test_latents_that_tell_classes_are_good_features(experiment, monkeypatch):
    rows = experiment.prepared.index("test")
    table = pd.DataFrame({"target": experiment.data.targets(rows)})
    for size, expected in ((1.0, pytest.approx(1)), (0.0, pytest.approx(1 / 3, abs=0.2))):

        def predict(data, rows, size=size):
            rng = np.random.default_rng(0)
            yield {"latent": size * np.eye(3)[data.targets(rows)] + 0.01 * rng.normal(size=(len(rows), 3))}

        monkeypatch.setattr(experiment.learner, "predict", predict)
        (outputs,) = predict(experiment.data, rows)
        assert latents.probe(experiment, table.assign(**latents.columns(outputs["latent"]))) == {"probe_accuracy": expected}


def test_one_class_alone_has_no_features(experiment):
    assert "test/probe_accuracy" in scoring.evaluate(experiment, "test").metrics
    experiment.data.keep = {"train": [1]}
    assert "test/probe_accuracy" not in scoring.evaluate(experiment, "test").metrics


@pytest.mark.slow
def test_its_figures_are_the_same_every_time(experiment, tmp_path):
    result = scoring.evaluate(experiment, "test", tmp_path)
    written = scoring.save(experiment, result, tmp_path)
    assert {path.stem for path in written} == {"reconstructions", "latent", "samples", "traversals", "interpolations"}
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in scoring.save(experiment, result, tmp_path)] == before


def test_samples_are_those_of_the_prior(experiment):
    images = generation.sample(experiment, 5)
    assert images.shape == (5, 1, 8, 8)
    assert np.array_equal(images, generation.sample(experiment, 5))
    experiment.config["seed"] = 1
    assert not np.array_equal(images, generation.sample(experiment, 5))


def test_samples_of_a_learned_prior_are_decoded_from_its_latents(images):
    data = images()
    model = partial(VAE, input_shape=(1, 8, 8), channels=[], hidden=[], latent_size=3, prior=partial(Mixture, components=4))
    learner = network(data, model=model, task=variational.Variational, metric="val/negative_elbo")
    noise = np.random.default_rng(0).standard_normal((5, 3), dtype=np.float32)
    samples = generation.sample(SimpleNamespace(learner=learner, config={"seed": 0, "model": {"latent_size": 3}}), 5)
    latents = learner.task.model.prior.transform_noise(torch.from_numpy(noise)).detach().numpy()
    assert np.array_equal(samples, learner.generate(latents))
    assert not np.allclose(samples, learner.generate(noise))
