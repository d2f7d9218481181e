"""Predicted masks, scored over whole images, on discs and squares."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from src.config import assembly, composition
from src.errors import InputError
from src.evaluation import augmentation_preview, scoring
from src.evaluation.latency import latency
from src.evaluation.segmentation import unpacked
from src.experiment import Experiment
from tests import discs

SETTINGS = (
    "data=mask_folder",
    "data.tile=16",
    "data.stride=10",
    "data.channels=1",
    "data.labels={0:ground,100:disc,200:square}",
    "data.batch_size=32",
    "model=unet",
    "model.width=2",
    "model.depth=2",
    "task=segmentation",
    "augmentation=[turns,elastic]",
    "trainer.accelerator=cpu",
)


@pytest.fixture
def build(project) -> Callable[..., Experiment]:
    """Builds an experiment on images of two sizes, with fresh weights."""
    discs.write(project / "data/raw/masks", 10)
    discs.write(project / "data/raw/masks", 2, height=33, width=70)

    def make(*overrides: str) -> Experiment:
        config = composition.compose([*SETTINGS, *overrides])
        prepared = assembly.prepare(config)
        return assembly.build(assembly.complete(config, prepared), prepared)

    return make


def blended(experiment: Experiment, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Probabilities of whole images by number, each pixel computed separately from the tiles that hold it."""
    outputs = np.concatenate([part["probability"] for part in experiment.learner.predict(experiment.data, rows)])
    group, position = experiment.prepared.array("group")[rows], experiment.prepared.array("position")[rows]
    images = {}
    for number in np.unique(group):
        height, width = position[group == number][0, 2:]
        total, weights = np.zeros((3, height, width)), np.zeros((height, width))
        for tile, (top, left, _, _) in zip(outputs[group == number], position[group == number], strict=True):
            for y in range(16):
                for x in range(16):
                    weight = min(y + 1, 16 - y) * min(x + 1, 16 - x)
                    total[:, top + y, left + x] += weight * tile[:, y, x]
                    weights[top + y, left + x] += weight
        images[int(number)] = total / weights
    return images


@pytest.mark.slow
def test_whole_images_are_scored_each_pixel_once(build):
    experiment = build()
    result = scoring.evaluate(experiment, "val")
    probability = blended(experiment, experiment.data.rows("val"))
    assert sorted(result.table["index"]) == sorted(probability)
    predicted, truth = {}, {}
    for number, mask in zip(result.table["index"], result.table["mask"], strict=True):
        predicted[number], truth[number] = unpacked(mask), experiment.data.whole(number)[1]
        sure = np.sort(probability[number], axis=0)
        clear = sure[-1] - sure[-2] > 1e-5
        assert np.array_equal(predicted[number][clear], probability[number].argmax(axis=0)[clear])
    joined = {
        name: np.concatenate([masks[n].ravel() for n in predicted])
        for name, masks in (("predicted", predicted), ("truth", truth))
    }
    assert result.metrics["val/accuracy"] == pytest.approx((joined["predicted"] == joined["truth"]).mean())
    for i, name in enumerate(experiment.data.classes):
        positive, true = joined["predicted"] == i, joined["truth"] == i
        assert result.metrics[f"val/dice/{name}"] == pytest.approx(2 * (positive & true).sum() / (positive.sum() + true.sum()))
        assert result.metrics[f"val/iou/{name}"] == pytest.approx((positive & true).sum() / (positive | true).sum())
    losses = [-np.log(np.take_along_axis(probability[n], truth[n][None].astype(int), axis=0)).ravel() for n in predicted]
    assert result.metrics["val/log_loss"] == pytest.approx(np.concatenate(losses).mean(), abs=1e-4)
    assert result.metrics["val/dice_macro"] == pytest.approx(
        np.mean([result.metrics[f"val/dice/{name}"] for name in experiment.data.classes])
    )


def test_intervals_are_over_images(build):
    experiment = build()
    result = scoring.evaluate(experiment, "train")
    shares = [(unpacked(row.mask) == experiment.data.whole(row.index_)[1]).mean() for row in named(result.table)]
    low, high = result.intervals["train/accuracy"]
    assert min(shares) <= low < result.metrics["train/accuracy"] < high <= max(shares)
    assert set(result.intervals) == set(result.metrics)


def named(table):
    return table.rename(columns={"index": "index_"}).itertuples()


def test_the_table_is_small_and_comes_back_from_disk(build, project):
    experiment = build()
    result = scoring.evaluate(experiment, "test", project / "run")
    again = experiment.evaluation.scores(scoring.evaluate(experiment, "test").table)[0]
    assert {f"test/{name}": value for name, value in again.items()} == pytest.approx(result.metrics)
    assert (project / "run/predictions.parquet").stat().st_size < 30_000


@pytest.mark.slow
def test_corruptions_that_move_pixels_are_skipped_for_masks(build, capfd):
    experiment = build("robustness=default")
    result = scoring.evaluate(experiment, "test")
    capfd.readouterr()
    findings = experiment.analyses["robustness"].analyse(experiment, result)
    assert capfd.readouterr().err.startswith("robustness.rotation: skipped, because it moves pixels")
    assert "dice_macro_under_noise" in findings.metrics
    assert "rotation" not in set(findings.tables["robustness"]["corruption"])


@pytest.mark.slow
def test_its_figures_are_drawn_and_the_same_every_time(build, project):
    experiment = build()
    result = scoring.evaluate(experiment, "val")
    written = {path.stem: path.read_bytes() for path in scoring.save(experiment, result, project / "run")}
    assert set(written) == {"overlays", "worst_tiles", "dice_by_image", "thresholds"}
    assert {path.stem: path.read_bytes() for path in scoring.save(experiment, result, project / "run")} == written


@pytest.mark.slow
def test_tiles_are_explained_those_with_most_errors_first(build):
    experiment = build("explanation=default")
    result = scoring.evaluate(experiment, "test")
    table = experiment.evaluation.examples(result.table, mistakes=2, right=2)
    group, position = (experiment.prepared.array(name)[table["index"]] for name in ("group", "position"))
    masks = dict(zip(result.table["index"], result.table["mask"], strict=True))
    shares = []
    for number, (top, left, _, _), truth, label in zip(
        group, position, experiment.data.targets(table["index"].to_numpy()), table["prediction"], strict=True
    ):
        predicted = unpacked(masks[number])[top : top + 16, left : left + 16]
        wrong = predicted != truth
        shares.append(wrong.mean())
        assert (predicted[wrong] == label).sum() == max((predicted[wrong] == i).sum() for i in range(3))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == max(
        (unpacked(masks[number])[top : top + 16, left : left + 16] != truth).mean()
        for number in masks
        for rows, corners in [experiment.data.tiles(number)]
        for (top, left), truth in zip(corners, experiment.data.targets(rows), strict=True)
    )
    apart = [abs(position[i, :2] - position[j, :2]).max() >= 16 for i in range(4) for j in range(i) if group[i] == group[j]]
    assert all(apart)
    findings = experiment.analyses["explanation"].analyse(experiment, result)
    assert set(findings.figures) == {"explanation", "filters", "activations"}
    assert {"saliency_randomised_correlation", "grad_cam_randomised_correlation"} <= set(findings.metrics)


@pytest.mark.slow
def test_the_scores_of_an_image_are_the_means_over_its_pixels(build):
    experiment = build()
    images = torch.rand(2, 1, 16, 16)
    task = experiment.learner.task.eval()
    assert torch.allclose(task.scoring(images), task.model(images).mean(dim=(2, 3)))


def test_masks_lie_over_the_images_of_the_augmentation_preview(build):
    (ax,) = augmentation_preview.preview(build())["augmentation"].axes
    shown = np.array([image.get_array() for image in ax.images])
    assert shown.shape == (augmentation_preview.COLUMNS * augmentation_preview.ROWS, 16, 16, 3)
    coloured = (np.ptp(shown.astype(int), axis=-1) > 12).reshape(
        augmentation_preview.ROWS, augmentation_preview.COLUMNS, 16, 16
    )
    assert coloured[:, 0].any()
    assert coloured[:, 1:].any()
    assert not coloured.all()


@pytest.mark.slow
def test_the_packaged_predictor_answers_for_each_pixel(build, project):
    experiment = build()
    rows = experiment.data.rows("val")[:5]
    stored = experiment.data.inputs(rows).astype(np.float32)
    files = experiment.learner.package(project / "model", stored[:4])
    program = torch.export.load(project / "model" / files["file"]).module()
    (expected,) = (part["probability"] for part in experiment.learner.predict(experiment.data, rows))
    probability = program(torch.from_numpy(stored)).detach().numpy()
    assert probability.shape == (5, 3, 16, 16)
    assert np.allclose(probability, expected, atol=1e-5)
    assert latency(experiment, budget=0.01)["latency_one_ms"] > 0
    assert experiment.learner.check(experiment.data).flops


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["data.tile=18"], r"multiples of 4, for 2 halvings, such as 20x20 pixels; received 18x18.*data\.tile"),
        (["model=fnn"], r"expected a model for examples of shape \[1, 16, 16\]"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(build, changed, message):
    kept = [setting for setting in SETTINGS if changed != ["model=fnn"] or not setting.startswith("model")]
    with pytest.raises(InputError, match=message):
        refused(*kept, *changed)


def refused(*overrides: str) -> None:
    config = composition.compose(overrides)
    prepared = assembly.prepare(config)
    experiment = assembly.build(assembly.complete(config, prepared), prepared)
    experiment.learner.check(experiment.data)


def test_images_without_masks_are_refused(build):
    with pytest.raises(
        InputError, match=r"task=segmentation: expected data with a mask for each image; Images has none.*mask_folder"
    ):
        refused("data=digits", "model=unet", "model.depth=2", "task=segmentation")


def test_a_classical_estimator_refuses_masks(build):
    kept = [setting for setting in SETTINGS if setting.startswith("data")]
    with pytest.raises(InputError, match="trainer=classical: expected data with one class for each example"):
        refused(*kept, "+experiment=most_frequent")
