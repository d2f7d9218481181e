"""What a user gets for wrong input: one clear message, the documented exit code, no traceback, no incomplete files."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.config import assembly, command_line
from src.config.plan import Plan
from src.errors import InputError
from src.experiment import Experiment
from src.train import train
from tests.repository import ROOT, run

FNN = ("+experiment=fnn", "trainer.accelerator=cpu")
CNN = ("+experiment=cnn", "trainer.accelerator=cpu")


@pytest.fixture
def assembled(digits, project) -> Callable[..., Experiment]:
    """Does what a training does before it writes anything, on the digits unless other data are chosen."""

    def assemble(*overrides: str) -> Experiment:
        own = any(override.startswith("data=") for override in overrides)
        prepared = [] if own else [f"paths.prepared={digits[1].folder.parent}"]
        plan = Plan.of(command_line.configure([*overrides, *prepared]))
        experiment = assembly.build(plan.config, plan.prepared)
        experiment.learner.check(experiment.data)
        return experiment

    return assemble


@pytest.fixture
def refusal(assembled, project) -> Callable[..., str]:
    """The message by which that is refused; no run is left."""

    def refuse(*overrides: str) -> str:
        with pytest.raises(InputError) as caught:
            assembled(*overrides)
        assert runs(project) == []
        return str(caught.value)

    return refuse


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("[!.]*")) if (folder / "runs").is_dir() else []


def pictures(root: Path, classes: tuple[str, ...], *, size: int = 12, count: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for number, label in enumerate(classes):
        (root / label).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(100 * number, 100 * number + 99, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


@pytest.mark.slow
def test_a_command_that_is_refused_prints_one_message_and_leaves_no_run(tmp_path):
    done = run(tmp_path, "python", "-m", "src.train", "+experiment=cnn", "model=lenet", code=2, PYTHONPATH=str(ROOT))
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    assert "expected images of at least 12x12 pixels" in message
    assert "received 8x8" in message
    assert runs(tmp_path) == []


@pytest.mark.slow
def test_a_model_whose_sizes_do_not_fit_the_data(refusal):
    assert "shape [1, 8, 8]" in refusal(*FNN, "model.input_shape=[1,9,9]")
    assert "out of bounds" in refusal(*FNN, "model.num_outputs=3")


def test_images_with_more_channels_than_a_model_takes(refusal):
    message = refusal(*CNN, "model.input_shape=[3,8,8]")
    assert "shape [1, 8, 8]" in message
    assert "to have 3 channels, but got 1 channels" in message
    assert "Leave its sizes to the data (model.input_shape" in message


def test_an_optimizer_of_torch_by_its_name(refusal, assembled):
    chosen = "optimizer._target_=torch.optim.NAdam"
    assert "Leave it out: ~optimizer.fused." in refusal(*FNN, chosen)
    assert "Invalid alpha value: -1" in refusal(*FNN, "optimizer=rmsprop", "optimizer.alpha=-1")
    assembled(*FNN, chosen, "~optimizer.fused")


@pytest.mark.slow
def test_a_schedule_that_does_not_suit_the_training(refusal):
    message = refusal(*FNN, "scheduler=one_cycle", "scheduler.pct_start=3")
    assert "scheduler: expected settings that OneCycleLR takes" in message
    message = refusal(*FNN, "scheduler=cosine", "trainer.max_epochs=null", "trainer.max_steps=5")
    assert "scheduler.T_max: expected a number; received null" in message


def test_a_last_batch_of_one_example_that_a_network_cannot_be_trained_on(refusal):
    """1,168 examples are three batches of 389 and one example."""
    message = refusal(*FNN, "model.batch_norm=true", "data.batch_size=389")
    assert "FNN cannot: Expected more than 1 value per channel" in message
    assert "data.batch_size" in message


def test_factors_of_a_loss_that_are_not_as_many_as_the_classes(refusal):
    message = refusal(*FNN, "task.class_weights=[1.0,2.0]")
    assert "task.class_weights: expected 10 factors, one for each class; received 2." in message


@pytest.mark.slow
def test_an_augmentation_that_does_not_fit(refusal):
    message = refusal(*CNN, "augmentation=light", "augmentation.affine.degrees=-10")
    assert "augmentation.affine: kornia.augmentation.RandomAffine" in message
    assert "must be non negative. Got -10" in message
    message = refusal(*CNN, "augmentation=strong", "augmentation.colour.hue=0.1")
    assert "augmentation.colour: expected a step for images of shape [1, 8, 8]" in message
    assert "~augmentation.colour" in message


def test_a_raw_file_that_is_missing_truncated_or_altered(refusal, project, monkeypatch):
    mirror = "data.dataset.source.mirrors=[http://127.0.0.1:9/]"
    message = refusal(*FNN, "data=mnist", mirror)
    assert "could not be downloaded" in message
    assert "$DATA_CACHE/mnist/" in message
    (project / "cache/mnist").mkdir(parents=True)
    (project / "cache/mnist/train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b short")
    monkeypatch.setenv("DATA_CACHE", str(project / "cache"))
    assert "expected SHA-256 440fcabf" in refusal(*FNN, "data=mnist", mirror)
    assert not (project / "data/prepared").exists() or list((project / "data/prepared").iterdir()) == []


def test_a_folder_of_images_with_one_class_or_unreadable_files(refusal, project):
    root = pictures(project / "my pictures", ("only",))
    where = f"data.root='{root}'"
    assert "at least two folders" in refusal(*CNN, "data=image_folder", where)
    pictures(root, ("other",))
    (root / "other/broken.png").write_bytes(b"not an image")
    message = refusal(*CNN, "data=image_folder", where)
    assert "1 of 25 files cannot be read" in message
    assert "broken.png" in message
    assert "there is none" in refusal(*CNN, "data=image_folder", "data.root=nowhere")


def test_a_folder_of_images_suits_a_network(assembled, project):
    root = pictures(project / "my pictures", ("dark ones", "léger"), count=30)
    experiment = assembled(*CNN, "data=image_folder", f"data.root='{root}'", "data.size=12")
    assert experiment.config["model"]["num_outputs"] == 2
    assert experiment.data.classes == ["dark ones", "léger"]


@pytest.mark.slow
def test_a_loss_that_is_not_a_number(digits, project, capsys):
    settings = ("optimizer=sgd", "optimizer.lr=1e30", "trainer.max_epochs=3")
    config = command_line.configure([*FNN, *settings, f"paths.prepared={digits[1].folder.parent}"])
    assert command_line.guard(lambda: train(config)) == 1
    message = capsys.readouterr().err
    assert "The loss is" in message
    assert "at step" in message
    assert "Traceback" not in message
    (folder,) = runs(project)
    assert json.loads((folder / "record.json").read_text())["status"] == "FAILED"
    assert "RunFailed" in (folder / "traceback.txt").read_text()
    assert not (folder / "metrics.json").exists()


def test_a_tracking_store_of_an_older_schema(digits, project):
    with closing(sqlite3.connect(project / "mlflow.db")) as database, database:
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('451aebb31d03')")
    config = command_line.configure(["+experiment=most_frequent", f"paths.prepared={digits[1].folder.parent}"])
    with pytest.raises(InputError, match="received the older 451aebb31d03"):
        train(config)
    assert runs(project) == []
