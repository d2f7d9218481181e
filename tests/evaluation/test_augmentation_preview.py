"""The preview of an augmentation, on the real digits."""

from typing import Any

import numpy as np
import pytest
import torch

from src.config import assembly, composition
from src.evaluation.augmentation_preview import COLUMNS, preview
from src.evaluation.plotting import write
from src.experiment import Experiment


@pytest.fixture
def built(digits, project):
    """Builds an experiment on the digits."""
    _, prepared = digits

    def build(*overrides: str) -> Experiment:
        return assembly.build(assembly.complete(composition.compose(overrides), prepared), prepared)

    return build


def images(figure: Any) -> np.ndarray:
    """By row and column."""
    (ax,) = figure.axes
    pixels = np.array([image.get_array() for image in ax.images]).astype(float)
    return pixels.reshape(-1, COLUMNS, *pixels.shape[1:])


def labels(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_position()[0] < 0]


def captions(figure: Any) -> np.ndarray:
    """By row and column: the text above each image."""
    (ax,) = figure.axes
    above = {(round(text.get_position()[0], 3), round(text.get_position()[1], 3)): text.get_text() for text in ax.texts}
    extents = [image.get_extent() for image in ax.images]
    return np.array(
        [above.get((round((left + right) / 2, 3), round(top - 0.03, 3)), "") for left, right, _, top in extents]
    ).reshape(-1, COLUMNS)


def test_a_run_that_does_not_augment_has_none(built):
    assert preview(built()) == {}
    assert preview(built("+experiment=random_forest")) == {}


def test_each_row_is_a_class_its_example_first(built):
    experiment = built("augmentation=light")
    figure = preview(experiment)["augmentation"]
    shown = images(figure)
    assert labels(figure) == list("01234567")
    assert "affine" in figure.axes[0].get_title()
    train = experiment.data.rows("train")
    pixels, targets = experiment.data.inputs(train)[:, 0], experiment.data.targets(train)
    for label, row in enumerate(shown):
        assert (targets[(pixels == row[0]).all(axis=(1, 2))] == label).any()
        assert all(not np.allclose(row[0], version, atol=2) for version in row[1:])
        assert len(np.unique(row, axis=0)) == COLUMNS
    assert not (captions(figure) != "").any(), "nothing is mixed"


def test_a_mixture_states_what_is_in_it(built):
    figure = preview(built("augmentation=cutmix"))["augmentation"]
    shown = images(figure)
    stated = captions(figure)
    assert (stated != "").sum() > 20
    for row, column in np.ndindex(stated.shape):
        changed = shown[row, column] != shown[row, 0]
        if not stated[row, column]:
            assert not changed.any()
            continue
        share, label = stated[row, column].split("% ")
        assert (shown[row, column][changed] == shown[int(label), 0][changed]).all()
        assert changed.mean() <= int(share) / 100 + 0.005


@pytest.mark.slow
def test_it_is_the_same_every_time_and_takes_no_random_numbers_of_the_run(built, tmp_path):
    experiment = built("augmentation=[strong,mixup]")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    written = [write(preview(experiment)["augmentation"], tmp_path / f"{i}.png").read_bytes() for i in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert written[0] == written[1]


def test_examples_without_classes_have_no_labels(built):
    experiment = built("augmentation=[light,mixup]")
    experiment.data.classes = []
    figure = preview(experiment)["augmentation"]
    assert images(figure).shape == (8, COLUMNS, 8, 8)
    assert set(labels(figure)) == {""}
    assert captions(figure)[0, 1].endswith("%")
