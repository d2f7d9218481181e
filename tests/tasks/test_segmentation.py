"""A class for each pixel: what is measured, what does not count, and what is moved with its picture."""

from functools import partial
from typing import Any

import kornia.augmentation
import numpy as np
import pytest
import torch
from torch import nn

from src.data import store
from src.data.augmentation import Augmentation
from src.data.masks import Masks
from src.data.mixing import Mixup
from src.data.raw import IGNORED
from src.data.sources.files import Local
from src.data.sources.pairs import Pairs
from src.errors import InputError
from src.models.unet import UNet
from src.protocols import Batch, Outcome
from src.tasks.segmentation import OUTSIDE, Segmentation
from tests import discs
from tests.nets import end, fit, metrics, network, optimization, same, values

UNET = partial(UNet, input_shape=(1, 16, 16), width=4, depth=2, num_outputs=3)
TURNS = {
    "augmentation": Augmentation(
        mirror=kornia.augmentation.RandomHorizontalFlip(),
        bend=kornia.augmentation.RandomElasticTransform((9, 9), (2.0, 2.0), (1.0, 1.0)),
        turn=kornia.augmentation.RandomAffine(degrees=90.0, p=1.0),
    )
}


@pytest.fixture
def masks(tmp_path) -> Masks:
    source = Pairs(files=Local(root=str(discs.write(tmp_path / "discs"))), tile=16, stride=16, channels=1, labels=discs.LABELS)
    split = {"val": 2, "test": 2, "seed": 0}
    prepared = store.prepare(tmp_path / "prepared", source, name="discs", split=split, max_duplicates=0.0)
    return Masks(prepared=prepared, shape=[1, 16, 16], num_classes=3, batch_size=16)


def task(model: nn.Module | None = None, **settings: Any) -> Segmentation:
    torch.manual_seed(0)
    return Segmentation(model=model or UNET(), preprocess=nn.Identity(), optimization=optimization(), **settings)


def batch(count: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(3, (count, 16, 16), generator=generator, dtype=torch.uint8)
    return Batch(torch.randn(count, 1, 16, 16, generator=generator), target, torch.arange(count))


def piece(batch: Batch, first: int, size: int) -> Batch:
    """So many examples of a batch."""
    chosen = slice(first, first + size)
    return Batch(batch.input[chosen], batch.target[chosen], batch.row[chosen])


def test_the_mean_of_parts_is_the_whole():
    """As several processes need it that share a batch."""
    segmentation, whole = task(class_weights=[1.0, 2.0, 0.5]).eval(), batch()
    parts = [segmentation.step(piece(whole, first, 2)).loss for first in (0, 2, 4)]
    assert torch.allclose(torch.stack(parts).mean(), segmentation.step(whole).loss)


def test_what_it_measures_adds_up_over_batches():
    segmentation, examples = task().eval(), batch()
    with torch.no_grad():
        whole = metrics(segmentation, segmentation.step(examples))
        parts = [segmentation.step(piece(examples, first, 3)) for first in (0, 3)]
    prediction = segmentation.model(examples.input).argmax(dim=1).numpy()
    truth = examples.target.numpy()
    assert metrics(segmentation, *parts) == whole
    assert whole["accuracy"] == pytest.approx((prediction == truth).mean())
    shares = []
    for label in range(3):
        both = ((prediction == label) & (truth == label)).sum()
        either = ((prediction == label) | (truth == label)).sum()
        shares.append(both / either)
    assert whole["iou_macro"] == pytest.approx(np.mean(shares))


def test_pixels_from_outside_do_not_count():
    segmentation, examples = task().eval(), batch()
    target = examples.target.long()
    target[:, 8:] = OUTSIDE
    loss = segmentation.step(examples._replace(target=target)).loss
    other = segmentation.step(examples._replace(target=target)).prediction.clone()
    assert loss.isfinite()
    other[:, :, 8:] += 100 * torch.randn(6, 3, 8, 16)
    changed = task(model=Constant(other)).step(examples._replace(target=target)).loss
    assert torch.allclose(loss, changed)
    assert segmentation.measure(segmentation.step(examples._replace(target=target)))["pixels"] == 6 * 8 * 16


def test_pixels_that_do_not_count_are_in_neither_loss_nor_metrics():
    """The stored targets are bytes. What is predicted there changes nothing, with an augmentation or without."""
    segmentation, examples = task(class_weights=[1.0, 2.0, 0.5]).eval(), batch()
    target = examples.target.clone()
    target[:, :4] = IGNORED
    masked = examples._replace(target=target)
    logits = segmentation.step(masked).prediction.detach()
    other = logits.clone()
    other[:, :, :4] += 100 * torch.randn(6, 3, 4, 16)
    one, two = (task(model=Constant(each), class_weights=[1.0, 2.0, 0.5]).step(masked) for each in (logits, other))
    assert torch.allclose(one.loss, two.loss)
    kept = Batch(examples.input[:, :, 4:], examples.target[:, 4:], examples.index)
    alone = task(model=Constant(logits[:, :, 4:]), class_weights=[1.0, 2.0, 0.5]).step(kept)
    assert torch.allclose(one.loss, alone.loss)
    assert metrics(segmentation, one) == metrics(segmentation, alone)
    moved = task(**TURNS).augmented(masked).target
    assert IGNORED in moved.unique().tolist()
    assert {*moved.unique().tolist()} <= {OUTSIDE, 0, 1, 2, IGNORED}


class Constant(nn.Module):
    """Gives the same logits for every input."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_masks_are_moved_with_their_pictures(masks):
    """Bright squares stay squares of the mask, and what comes in from outside is of no class."""
    rows = masks.rows("train")
    examples = Batch(torch.from_numpy(masks.inputs(rows)), torch.from_numpy(masks.targets(rows)), torch.from_numpy(rows))
    moved = task(**TURNS).augmented(examples)
    assert moved.target.shape == examples.target.shape
    assert set(moved.target.unique().tolist()) == {OUTSIDE, 0, 1, 2}
    levels = [moved.input[:, 0][moved.target == label].mean().item() for label in (OUTSIDE, 0, 1, 2)]
    assert levels == sorted(levels)
    assert levels[0] < 15
    assert levels[3] > 170
    assert not torch.equal(moved.target, examples.target.long())


def test_examples_cannot_be_mixed(masks):
    rows = masks.rows("train")[:4]
    examples = Batch(torch.from_numpy(masks.inputs(rows)), torch.from_numpy(masks.targets(rows)), torch.from_numpy(rows))
    with pytest.raises(InputError, match="whose targets can be mixed; those of Segmentation cannot"):
        task(augmentation=Augmentation(mixup=Mixup(alpha=0.5))).augmented(examples)


@pytest.mark.parametrize("settings", [{"cross_entropy": 0.0, "dice": 0.0}, {"dice": -1.0}, {"class_weights": [1.0, -1.0]}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"task\.?.*: expected .* (from|at least) 0"):
        task(**settings)


def learner(masks: Masks, **settings: Any) -> Any:
    return network(masks, model=UNET, task=Segmentation, metric="val/dice_macro", **settings)


@pytest.mark.slow
def test_a_training_learns_and_its_validation_is_that_of_all_tiles(masks, tmp_path):
    segmenter = learner(masks, max_epochs=8, optimizer=partial(torch.optim.Adam, lr=0.01))
    fit(segmenter, masks, tmp_path / "run")
    actual = values(tmp_path / "run", "val/dice_macro")
    assert actual[0] < actual[-1]
    assert actual[-1] > 0.6
    segmenter.load(tmp_path / "run" / "last.ckpt")
    rows = masks.rows("val")
    predicted = np.concatenate([part["probability"] for part in segmenter.predict(masks, rows)]).argmax(axis=1)
    truth = masks.targets(rows)
    dice = [2 * ((predicted == k) & (truth == k)).sum() / ((predicted == k).sum() + (truth == k).sum()) for k in range(3)]
    assert actual[-1] == pytest.approx(np.mean(dice), abs=1e-6)


@pytest.mark.slow
def test_an_augmented_training_continues_exactly(masks, tmp_path):
    settings = {"max_epochs": 3, "steps_per_call": 2, **TURNS}
    fit(learner(masks, **settings), masks, tmp_path / "whole")
    fit(learner(masks, **{**settings, "max_epochs": 1}), masks, tmp_path / "part")
    fit(learner(masks, **settings), masks, tmp_path / "part")
    assert same(end(tmp_path / "whole"), end(tmp_path / "part"))


def test_the_last_of_256_classes_counts_as_any():
    segmentation = task(model=nn.Identity())
    target = torch.tensor([[[0, 255]]], dtype=torch.uint8)  # as it is stored
    outcome = Outcome(torch.tensor(0.0), torch.zeros(1, 256, 1, 2), target)
    assert int(segmentation.measure(outcome)["pixels"]) == 2


def test_factors_are_as_many_as_the_classes():
    with pytest.raises(InputError, match=r"task\.class_weights: expected 3 factors, one for each class; received 2"):
        task(class_weights=[1.0, 2.0]).step(batch())
