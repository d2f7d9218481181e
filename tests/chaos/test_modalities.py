"""Modalities from outside src, ragged rows and windows of a series, killed within an epoch. The same command goes on."""

from pathlib import Path

import pytest

from src.tracking.journal import read
from tests import chaos, forecasting, tagging

SETTINGS = (
    *("scheduler=one_cycle", "averaging=ema", "trainer.max_epochs=3", "trainer.steps_per_call=3"),
    *("trainer.save_every_n_steps=4", "trainer.log_every_n_steps=2"),
)


def in_the_second_epoch(folder: Path) -> bool:
    points = [point for path in folder.glob("runs/*/metrics.jsonl") for point in read(path)]
    return any(point["epoch"] == 2 and point["step"] % 4 == 2 for point in points) and any(folder.glob("runs/*/last.ckpt"))


def times_of_the_first_epoch(folder: Path) -> list[int]:
    """When each of its points was logged, which a second training of it would change."""
    return [point["time"] for point in read(folder / "metrics.jsonl") if point["epoch"] == 1]


@pytest.mark.cluster
@pytest.mark.parametrize(("modality", "experiment"), [(tagging, "tags"), (forecasting, "forecast")])
def test_a_modality_that_src_does_not_know_goes_on_exactly(tmp_path, modality, experiment):
    modality.write_configuration(tmp_path / "conf")
    command = ("--config-dir", str(tmp_path / "conf"), f"+experiment={experiment}", *SETTINGS, chaos.NOWHERE)
    whole = chaos.train(tmp_path / "whole", *command)
    chaos.kill(chaos.paused(tmp_path / "killed", *command, when=in_the_second_epoch), uploader=False)
    killed = chaos.run(tmp_path / "killed")
    before = times_of_the_first_epoch(killed)
    assert 0 < len(chaos.points(killed)) < len(chaos.points(whole))
    assert chaos.outcome(chaos.train(tmp_path / "killed", *command)) == chaos.outcome(whole)
    assert times_of_the_first_epoch(killed) == before != [], "it is not trained again"
