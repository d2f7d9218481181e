"""Texts, streams of tokens, ragged rows, windows of a series and random crops of files go on exactly after a kill."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.tracking.journal import read
from tests import chaos, forecasting, streams, tagging, texts

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


def check_exact(tmp_path: Path, *arguments: str) -> None:
    command = (*arguments, *SETTINGS, chaos.NOWHERE)
    whole = chaos.train(tmp_path / "whole", *command)
    chaos.kill(chaos.paused(tmp_path / "killed", *command, when=in_the_second_epoch), uploader=False)
    killed = chaos.run(tmp_path / "killed")
    before = times_of_the_first_epoch(killed)
    assert 0 < len(chaos.points(killed)) < len(chaos.points(whole))
    assert chaos.outcome(chaos.train(tmp_path / "killed", *command)) == chaos.outcome(whole)
    assert times_of_the_first_epoch(killed) == before != [], "it is not trained again"


@pytest.mark.cluster
@pytest.mark.parametrize(("modality", "experiment"), [(tagging, "tags"), (forecasting, "forecast")])
def test_a_modality_that_src_does_not_know_goes_on_exactly(tmp_path, modality, experiment):
    modality.write_configuration(tmp_path / "conf")
    check_exact(tmp_path, "--config-dir", str(tmp_path / "conf"), f"+experiment={experiment}")


@pytest.mark.cluster
def test_texts_in_batches_of_similar_lengths_go_on_exactly(tmp_path):
    table = texts.write(tmp_path / "texts.csv", 450)
    data = ("data=text", f"data.path={table}", "data.target=label", "data.columns.split=part", "data.batch_size=8")
    check_exact(tmp_path, "+experiment=gru", *data, "data.batch_tokens=100", "model.size=8", "model.width=4")


@pytest.mark.cluster
def test_random_crops_of_files_that_other_processes_decode_go_on_exactly(tmp_path):
    root, rng = tmp_path / "images", np.random.default_rng(0)
    for number in range(280):
        path = root / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 128 + 120 * (number % 2), (24, 32, 3), dtype=np.uint8)).save(path)
    files = ("data=image_folder", f"data.root={root}", "data.size=16", "data.batch_size=8")
    crops = ("data.storage=encoded", "data.random_crop=[0.2,1.0]", "model.width=4", "explanation=none")
    check_exact(tmp_path, "+experiment=cnn", *files, *crops)


@pytest.mark.cluster
def test_windows_of_a_stream_of_tokens_go_on_exactly(tmp_path):
    path = streams.write(tmp_path / "text.txt", 150)
    size = ("model.width=8", "model.depth=1", "model.heads=2", "model.dropout=0.1", "evaluation.sample=0")
    data = (*streams.TINY, f"data.path={path}", "data.epoch_batches=14")
    check_exact(tmp_path, "+experiment=gpt", *size, *data)
