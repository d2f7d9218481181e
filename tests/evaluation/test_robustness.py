"""Corrupted images, and the scores of a run on them."""

import pytest
import torch

from src.evaluation import scoring
from src.evaluation.corruption import Blur, Contrast, Missing, Noise, Rotation
from src.evaluation.robustness import Robustness

KINDS = {kind.__name__.lower(): kind for kind in (Noise, Blur, Rotation, Contrast, Missing)}
IMAGES = torch.rand(6, 3, 12, 9, generator=torch.Generator().manual_seed(0))


def corrupt(kind, strength: float, images: torch.Tensor = IMAGES) -> torch.Tensor:
    return kind(strengths=[0.1])(images, strength, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS.values())
def test_without_strength_an_image_stays_as_it_is(kind):
    torch.testing.assert_close(corrupt(kind, 0.0), IMAGES, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_stronger_the_farther_from_the_image(kind):
    strengths = (15.0, 30.0, 60.0) if kind is Rotation else (0.05, 0.2, 0.6)
    corrupted = [corrupt(kind, strength) for strength in strengths]
    assert all(images.shape == IMAGES.shape for images in corrupted)
    one, two, three = ((images - IMAGES).square().mean().item() for images in corrupted)
    assert 0 < one < two < three


def test_noise_has_the_deviation_that_is_asked_for():
    noise = corrupt(Noise, 0.2, torch.full((50, 1, 20, 20), 0.5)) - 0.5
    assert noise.std() == pytest.approx(0.2, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.01)


def test_a_blur_spreads_a_dot_evenly_and_leaves_a_plain_area():
    dot = torch.zeros(1, 2, 21, 21)
    dot[:, :, 10, 10] = 1
    spread = corrupt(Blur, 2 / 21, dot)
    assert spread.sum().item() == pytest.approx(2, abs=1e-4)
    torch.testing.assert_close(spread, spread.flip(2))
    torch.testing.assert_close(spread, spread.transpose(2, 3))
    rows = torch.arange(21.0) - 10
    assert (spread[0, 0].sum(dim=1) * rows**2).sum().sqrt().item() == pytest.approx(2, rel=0.03)
    torch.testing.assert_close(corrupt(Blur, 0.2, torch.full((1, 1, 9, 9), 0.3)), torch.full((1, 1, 9, 9), 0.3))


def test_a_quarter_turn_is_that_of_the_pixels():
    square = torch.rand(8, 2, 7, 7)
    turned = corrupt(Rotation, 90.0, square)
    left, right = torch.rot90(square, 1, (2, 3)), torch.rot90(square, -1, (2, 3))
    sides = [torch.allclose(rotated, one, atol=1e-5) for rotated, one in zip(turned, left, strict=True)]
    assert all(
        side or torch.allclose(rotated, other, atol=1e-5) for side, rotated, other in zip(sides, turned, right, strict=True)
    )
    assert 0 < sum(sides) < 8, "to either side by chance"


def test_a_rotation_keeps_the_shape_of_things_in_an_oblong_image():
    dot = torch.zeros(1, 1, 21, 11)
    dot[0, 0, 10, 9] = 1  # four to the right of the middle
    turned = corrupt(Rotation, 90.0, dot)[0, 0]
    row, column = divmod(int(turned.argmax()), 11)
    assert (abs(row - 10), column) == (4, 5)


def test_contrast_is_lost_towards_the_mean_of_the_image():
    corrupted = corrupt(Contrast, 0.75)
    torch.testing.assert_close(corrupted.mean(dim=(1, 2, 3)), IMAGES.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(corrupted.std(dim=(1, 2, 3)), 0.25 * IMAGES.std(dim=(1, 2, 3)))


def test_missing_pixels_are_black_in_all_channels_and_stay_missing():
    large = IMAGES.repeat(1, 1, 5, 5) + 0.01
    fewer, more = (corrupt(Missing, strength, large) == 0 for strength in (0.2, 0.5))
    assert fewer.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert more.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert (fewer.all(dim=1) == fewer.any(dim=1)).all()
    assert (more | ~fewer).all()


@pytest.mark.parametrize("strengths", [[], [0.0, 0.1], [0.2, 0.1], [0.1, 0.1], [-1.0]])
def test_strengths_that_do_not_rise_from_0_are_refused(strengths):
    with pytest.raises(ValueError, match="strengths above 0 in rising order"):
        Noise(strengths=strengths)


def test_a_step_that_is_no_corruption_is_refused():
    with pytest.raises(ValueError, match="expected fog to have the _target_ of a corruption; received None"):
        Robustness(fog=None)
    with pytest.raises(ValueError, match="received examples=0"):
        Robustness(examples=0)


@pytest.mark.slow
def test_accuracy_falls_with_the_strength_from_that_of_the_images_as_they_are(trained):
    experiment, result = trained
    findings = experiment.analyses["robustness"].analyse(experiment, result)
    (table,) = findings.tables.values()
    assert list(table.columns) == ["corruption", "strength", "value", "low", "high"]
    assert set(table["corruption"]) == set(KINDS)
    clean = result.metrics["test/accuracy"]
    for name, points in table.groupby("corruption"):
        assert points["strength"].is_monotonic_increasing
        assert len(points) == 6
        first, last = points.iloc[0], points.iloc[-1]
        assert (first["strength"], first["value"]) == (0, clean)
        assert (first["low"], first["high"]) == result.intervals["test/accuracy"]
        assert last["value"] < clean - 0.1, name
        assert findings.metrics[f"accuracy_under_{name}"] == pytest.approx(points["value"][1:].mean())
    assert findings.metrics["accuracy_corrupted"] == pytest.approx(table[table["strength"] > 0]["value"].mean())
    again = experiment.analyses["robustness"].analyse(experiment, result)
    assert again.metrics == findings.metrics
    curves = findings.figures["robustness"]
    assert [ax.get_title() for ax in curves.axes if ax.get_visible()] == list(KINDS)


def test_a_strength_that_is_next_to_nothing_gives_exactly_the_numbers_of_the_images_as_they_are(trained):
    experiment, result = trained
    kinds = {name: kind(strengths=[1e-9]) for name, kind in KINDS.items()}
    findings = Robustness(**kinds).analyse(experiment, result)
    assert set(findings.tables["robustness"]["value"]) == {result.metrics["test/accuracy"]}


def test_at_most_so_many_examples_are_corrupted(trained):
    experiment, result = trained
    findings = Robustness(examples=50, noise=Noise(strengths=[0.1])).analyse(experiment, result)
    right = (result.table["target"] == result.table["prediction"])[:50].mean()
    assert findings.tables["robustness"]["value"][0] == pytest.approx(right, abs=1e-12)


@pytest.mark.slow
def test_a_classical_estimator_is_tried_alike(build, tmp_path):
    experiment = build("+experiment=k_nearest_neighbours", "robustness=default")
    result = scoring.analyse(experiment, scoring.evaluate(experiment, "test"), tmp_path)
    assert 0.1 < result.metrics["test/accuracy_corrupted"] < result.metrics["test/accuracy"]
    named = result.analyses["robustness"]
    assert "accuracy_corrupted" in named
    assert "accuracy" not in named
    lines = (tmp_path / "tables/robustness.csv").read_text().splitlines()
    assert len(lines) == 1 + 5 * 6
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"robustness.png", "corruptions.png"}


def test_an_image_that_is_its_own_target_is_skipped(build, capfd):
    experiment = build("+experiment=autoencoder", "robustness=default", fit=False)
    result = scoring.evaluate(experiment, "test")
    capfd.readouterr()
    findings = experiment.analyses["robustness"].analyse(experiment, result)
    assert (findings.metrics, findings.figures) == ({}, {})
    assert capfd.readouterr().err == "robustness: skipped, because a corrupted image would be its own target.\n"
