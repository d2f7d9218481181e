"""The spread of latents, and nearest neighbours."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from src.evaluation import latents, scoring
from src.evaluation.contrastive import Contrastive
from src.models.encoder import EncoderWithHead
from src.tasks import contrastive
from tests.nets import everything, network


@pytest.fixture
def experiment(images):
    data = images()
    model = partial(EncoderWithHead, input_shape=(1, 8, 8), hidden=[16], latent_size=6, num_outputs=4)
    learner = network(data, model=model, task=contrastive.Contrastive, metric="val/loss", augmentation=everything())
    evaluation = Contrastive(data=data, headline={"probe_accuracy": "max"})
    return SimpleNamespace(data=data, prepared=data.prepared, learner=learner, evaluation=evaluation)


def scores(experiment: SimpleNamespace, vectors: np.ndarray) -> tuple[dict, dict]:
    return experiment.evaluation.scores(pd.DataFrame({"target": 0, **latents.columns(vectors)}))


def test_equal_latents_have_no_spread(experiment):
    values, intervals = scores(experiment, np.ones((30, 4)))
    assert values == {"uniformity": pytest.approx(0), "effective_rank": pytest.approx(1)}
    assert intervals["uniformity"] == (pytest.approx(0), pytest.approx(0))


def test_latents_along_all_axes_have_the_full_rank(experiment):
    values, intervals = scores(experiment, np.repeat(np.eye(4), 25, axis=0) * np.array([[3.0, 3.0, 3.0, 3.0]]))
    assert values["effective_rank"] == pytest.approx(4)
    near = (24 + 75 * np.exp(-4)) / 99  # of one's own axis, at distance 0, and of the others, at a squared distance of 2
    assert values["uniformity"] == pytest.approx(np.log(near))
    low, high = intervals["uniformity"]
    assert low < values["uniformity"] < high


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_split_of_few_examples_has_the_scores_that_exist(experiment, count):
    values, intervals = scores(experiment, np.eye(3)[:count])
    assert values["effective_rank"] == pytest.approx(count)
    assert ("uniformity" in values) == ("uniformity" in intervals) == (count > 1)
    if count > 1:
        assert values["uniformity"] == pytest.approx(-4)
        assert intervals["uniformity"] == pytest.approx((-4, -4), abs=4)


def test_a_split_is_scored_by_spread_rank_and_probe(experiment):
    result = scoring.evaluate(experiment, "test")
    assert list(result.table.columns) == ["index", "target", *(f"latent_{number}" for number in range(6))]
    assert set(result.metrics) == {"test/uniformity", "test/effective_rank", "test/probe_accuracy"}
    assert 1 <= result.metrics["test/effective_rank"] <= 6
    assert scoring.evaluate(experiment, "test").metrics == result.metrics


def test_an_example_stands_before_those_with_the_nearest_latents(experiment):
    table = scoring.evaluate(experiment, "test").table
    figures = experiment.evaluation.figures(experiment, table)
    assert set(figures) == {"latent", "neighbours"}
    shown = [image.get_array() for image in figures["neighbours"].axes[0].images]
    (_, firsts) = np.unique(table["target"], return_index=True)
    lines = np.sort(firsts)
    assert len(shown) == 10 * len(lines)
    vectors = latents.of(table)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    images = experiment.data.inputs(table["index"].to_numpy())[:, 0]
    for line, own in enumerate(lines):
        others = np.delete(np.arange(len(table)), own)
        nearest = others[np.argmax(unit[others] @ unit[own])]
        assert np.array_equal(shown[10 * line], images[own])
        assert np.array_equal(shown[10 * line + 1], images[nearest])
