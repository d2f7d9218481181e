"""The contact sheet of an augmentation, on the real digits."""

from typing import Any

import numpy as np
import pytest
import torch

from src.config import assembly, composition
from src.config.assembly import Experiment
from src.evaluation import augmentation_preview, core


@pytest.fixture
def built(digits, project):
    """Builds an experiment on the digits."""
    _, prepared = digits

    def build(*overrides: str) -> Experiment:
        return assembly.build(assembly.complete(composition.compose(overrides), prepared), prepared)

    return build


def pictures(figure: Any) -> np.ndarray:
    """By row and column; the figure draws a column after the other."""
    (ax,) = figure.axes
    images = np.array([image.get_array() for image in ax.images])
    return images.reshape(augmentation_preview.COLUMNS, -1, *images.shape[1:]).swapaxes(0, 1)


def captions(figure: Any) -> np.ndarray:
    (ax,) = figure.axes
    found = [text.get_text() for text in ax.texts if text.get_fontsize() == 6]
    return np.array(found).reshape(augmentation_preview.COLUMNS, -1).T


def test_a_run_that_does_not_augment_has_none(built):
    assert augmentation_preview.sheet(built()) == {}
    assert augmentation_preview.sheet(built("+experiment=random_forest")) == {}


def test_each_row_is_a_class_its_example_first(built):
    experiment = built("augmentation=light")
    figure = augmentation_preview.sheet(experiment)["augmentation"]
    (ax,) = figure.axes
    shown = pictures(figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == list("01234567")
    assert "affine" in ax.get_title()
    train = experiment.data.rows("train")
    pixels, targets = experiment.data.inputs(train)[:, 0] / 255, experiment.data.targets(train)
    for label, row in enumerate(shown):
        assert (targets[(pixels == row[0]).all(axis=(1, 2))] == label).any()
        assert all(not np.allclose(row[0], version, atol=0.01) for version in row[1:])
        assert len(np.unique(row, axis=0)) == augmentation_preview.COLUMNS
    assert all((image.norm.vmin, image.norm.vmax) == (0, 1) for image in ax.images)
    assert not captions(figure).any(), "nothing is mixed"


def test_a_mixture_states_what_is_in_it(built):
    figure = augmentation_preview.sheet(built("augmentation=cutmix"))["augmentation"]
    shown, stated = pictures(figure), captions(figure)
    assert (stated != "").sum() > 20
    for row, column in np.ndindex(stated.shape):
        changed = ~np.isclose(shown[row, column], shown[row, 0], atol=1e-3)
        if not stated[row, column]:
            assert not changed.any()
            continue
        share, label = stated[row, column].split("% ")
        assert np.allclose(shown[row, column][changed], shown[int(label), 0][changed], atol=1e-3)
        assert changed.mean() <= int(share) / 100 + 0.005


def test_it_is_the_same_every_time_and_draws_nothing_from_the_run(built, tmp_path):
    experiment = built("augmentation=[strong,mixup]")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    written = [
        core.draw(augmentation_preview.sheet(experiment)["augmentation"], tmp_path / f"{i}.png").read_bytes() for i in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert written[0] == written[1]


def test_examples_without_classes_have_no_labels(built):
    experiment = built("augmentation=[light,mixup]")
    experiment.data.classes = None
    figure = augmentation_preview.sheet(experiment)["augmentation"]
    assert pictures(figure).shape == (8, augmentation_preview.COLUMNS, 8, 8)
    assert {label.get_text() for label in figure.axes[0].get_yticklabels()} == {""}
    assert captions(figure)[0, 1].endswith("%")
