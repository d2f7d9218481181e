"""A training that diverges and goes back, killed meanwhile: what MLflow shows of it."""

import json
from pathlib import Path

import pytest

from src.tracking.journal import read
from tests import chaos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

# With so high a rate the loss leaps up before long.
DIVERGING = (
    "+experiment=fnn",
    "optimizer=sgd",
    "optimizer.lr=1.0",
    "trainer.max_epochs=3",
    "trainer.limit_batches=14",
    "trainer.steps_per_call=3",
    "trainer.log_every_n_steps=1",
    "divergence=roll_back",
    "divergence.factor=0.01",
    "divergence.spike=1.5",
    "divergence.window=20",
)


def went_back(folder: Path) -> bool:
    return any("rolled_back" in path.read_text() for path in folder.glob("runs/*/metrics.jsonl"))


def test_no_point_of_a_training_that_went_back_is_lost_or_doubled(tmp_path):
    whole = chaos.train(tmp_path / "whole", *DIVERGING)
    told = [point for point in read(whole / "metrics.jsonl") if point["name"] == "train/rolled_back"]
    assert [point["value"] for point in told] == [1]
    steps = [point["step"] for point in read(whole / "metrics.jsonl") if point["name"] == "train/loss"]
    assert steps == list(range(1, json.loads((whole / "metrics.json").read_text())["steps"] + 1))
    assert len(steps) > 42
    chaos.check_store(tmp_path / "whole")

    killed = tmp_path / "killed"
    chaos.kill(chaos.paused(killed, *DIVERGING, when=went_back), uploader=True)
    assert chaos.outcome(chaos.train(killed, *DIVERGING)) == chaos.outcome(whole)
    chaos.check_store(killed)
