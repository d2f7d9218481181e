"""What a user gets for wrong input: one clear message, the documented exit code, no traceback, nothing half-written."""

import fcntl
import json
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from src.runs.folder import Run
from tests import chaos, disks
from tests.repository import ROOT, environment, run

pytestmark = pytest.mark.timeout(900)


def refused(folder: Path, *overrides: str, code: int = 2, **extra: str) -> str:
    """The message with which a training command is refused."""
    done = run(folder, "python", "-m", "src.train", *overrides, code=code, PYTHONPATH=str(ROOT), **extra)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return done.stderr


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("*")) if (folder / "runs").is_dir() else []


def pictures(root: Path, classes: tuple[str, ...], *, size: int = 12, count: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for number, label in enumerate(classes):
        (root / label).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(100 * number, 100 * number + 99, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


def test_a_model_that_the_images_are_too_small_for(tmp_path):
    for model, smallest in (("lenet", "12x12"), ("alexnet", "63x63")):
        message = refused(tmp_path, "+experiment=cnn", f"model={model}")
        assert f"expected images of at least {smallest} pixels" in message
        assert "received 8x8" in message
    assert runs(tmp_path) == []


def test_a_model_whose_sizes_do_not_fit_the_data(tmp_path):
    message = refused(tmp_path, "+experiment=fnn", "model.input_shape=[1,9,9]")
    assert "shape [1, 8, 8]" in message
    assert runs(tmp_path) == []
    assert "out of bounds" in refused(tmp_path, "+experiment=fnn", "model.num_outputs=3")
    assert runs(tmp_path) == []


def test_images_with_more_channels_than_a_model_takes(tmp_path):
    message = refused(tmp_path, "+experiment=cnn", "model.input_shape=[3,8,8]")
    assert "shape [1, 8, 8]" in message
    assert "to have 3 channels, but got 1 channels" in message
    assert "Leave its sizes to the data (model.input_shape" in message
    assert runs(tmp_path) == []


def test_an_optimizer_of_torch_by_its_name(tmp_path):
    chosen = "optimizer._target_=torch.optim.NAdam"
    message = refused(tmp_path, "+experiment=fnn", chosen)
    assert "optimizer: expected settings that NAdam takes" in message
    assert "~optimizer.fused" in message
    assert "Invalid learning rate: -1" in refused(tmp_path, "+experiment=fnn", "optimizer.lr=-1")
    assert runs(tmp_path) == []
    run(
        tmp_path,
        "python",
        "-m",
        "src.train",
        "+experiment=fnn",
        chosen,
        "~optimizer.fused",
        "trainer.max_epochs=1",
        PYTHONPATH=str(ROOT),
    )
    assert len(runs(tmp_path)) == 1


def test_a_schedule_that_does_not_suit_the_training(tmp_path):
    message = refused(tmp_path, "+experiment=fnn", "scheduler=one_cycle", "scheduler.pct_start=3")
    assert "scheduler: expected settings that OneCycleLR takes" in message
    message = refused(tmp_path, "+experiment=fnn", "scheduler=cosine", "trainer.max_epochs=null", "trainer.max_steps=5")
    assert "scheduler.T_max: expected a number; received null" in message
    assert runs(tmp_path) == []


def test_a_last_batch_of_one_example_that_a_network_cannot_be_trained_on(tmp_path):
    """1,168 examples are three batches of 389 and one example."""
    message = refused(tmp_path, "+experiment=fnn", "model.batch_norm=true", "data.batch_size=389")
    assert "FNN cannot: Expected more than 1 value per channel" in message
    assert "data.batch_size" in message
    assert runs(tmp_path) == []


def test_factors_of_a_loss_that_are_not_as_many_as_the_classes(tmp_path):
    message = refused(tmp_path, "+experiment=fnn", "task.class_weights=[1.0,2.0]")
    assert "task.class_weights: expected 10 factors, one for each class; received 2." in message
    assert runs(tmp_path) == []


def test_an_augmentation_that_does_not_fit(tmp_path):
    message = refused(tmp_path, "+experiment=cnn", "augmentation=light", "augmentation.affine.degrees=-10")
    assert "augmentation.affine: kornia.augmentation.RandomAffine" in message
    assert "must be non negative. Got -10" in message
    message = refused(tmp_path, "+experiment=cnn", "augmentation=strong", "augmentation.colour.hue=0.1")
    assert "augmentation.colour: expected a step for images of shape [1, 8, 8]" in message
    assert "~augmentation.colour" in message
    assert runs(tmp_path) == []


def test_a_raw_file_that_is_missing_truncated_or_altered(tmp_path):
    mirror = "data.dataset.source.mirrors=[http://127.0.0.1:9/]"
    message = refused(tmp_path, "+experiment=fnn", "data=mnist", mirror)
    assert "could not be downloaded" in message
    assert "$DATA_CACHE/mnist/" in message
    (tmp_path / "cache/mnist").mkdir(parents=True)
    (tmp_path / "cache/mnist/train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b short")
    message = refused(tmp_path, "+experiment=fnn", "data=mnist", mirror, DATA_CACHE=str(tmp_path / "cache"))
    assert "expected SHA-256 440fcabf" in message
    assert not (tmp_path / "data/prepared").exists() or list((tmp_path / "data/prepared").iterdir()) == []


def test_a_folder_of_images_with_one_class_or_unreadable_files(tmp_path):
    root = pictures(tmp_path / "my pictures", ("only",))
    where = f"data.root='{root}'"
    assert "at least two folders" in refused(tmp_path, "+experiment=cnn", "data=image_folder", where)
    pictures(root, ("other",))
    (root / "other/broken.png").write_bytes(b"not an image")
    message = refused(tmp_path, "+experiment=cnn", "data=image_folder", where)
    assert "1 of 25 files cannot be read" in message
    assert "broken.png" in message
    assert "there is none" in refused(tmp_path, "+experiment=cnn", "data=image_folder", "data.root=nowhere")


def test_a_folder_of_images_trains(tmp_path):
    root = pictures(tmp_path / "my pictures", ("dark ones", "léger"), count=30)
    command = ("+experiment=cnn", "data=image_folder", f"data.root='{root}'", "data.size=12", "trainer.max_epochs=3")
    done = run(tmp_path, "python", "-m", "src.train", *command, PYTHONPATH=str(ROOT))
    folder = tmp_path / done.stdout.splitlines()[-1].removeprefix("run: ")
    assert "test/accuracy" in json.loads((folder / "metrics.json").read_text())
    assert "num_outputs: 2" in (folder / "config.yaml").read_text()


def test_a_loss_that_is_not_a_number(tmp_path):
    message = refused(tmp_path, "+experiment=fnn", "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_epochs=3", code=1)
    assert "The loss is" in message
    assert "at step" in message
    (folder,) = runs(tmp_path)
    assert json.loads((folder / "record.json").read_text())["status"] == "FAILED"
    assert "RunFailed" in (folder / "traceback.txt").read_text()
    assert not (folder / "metrics.json").exists()


@pytest.mark.cluster
def test_the_same_run_started_twice(tmp_path):
    """The first command is stopped while it trains; the second is turned away, and leaves the first alone."""
    command = ["python", "-m", "src.train", "+experiment=fnn", "trainer.max_epochs=100000"]
    first = subprocess.Popen(command, cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), stderr=subprocess.DEVNULL)
    try:
        while not list(tmp_path.glob("runs/*/record.json")):
            assert first.poll() is None
            time.sleep(0.05)
        message = refused(tmp_path, "+experiment=fnn", "trainer.max_epochs=100000", code=3)
        assert f"process {first.pid} on" in message
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    (folder,) = runs(tmp_path)
    assert not Run(folder).locked()


def test_a_tracking_store_of_an_older_schema(tmp_path):
    run(tmp_path, "python", "-c", "import mlflow; mlflow.MlflowClient('sqlite:///mlflow.db').search_experiments()")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("update alembic_version set version_num = '451aebb31d03'")
    message = refused(tmp_path, "+experiment=most_frequent")
    assert "received the older 451aebb31d03" in message
    assert "mlflow db upgrade sqlite:///" in message
    assert runs(tmp_path) == []


@pytest.mark.servers
def test_a_tracking_store_that_cannot_be_reached(tmp_path):
    """The run goes on, and its record is shipped later: nothing that was computed is lost."""
    command = ("+experiment=most_frequent", "tracking.uri=http://127.0.0.1:9")
    done = run(tmp_path, "python", "-m", "src.train", *command, PYTHONPATH=str(ROOT))
    assert "does not answer" in done.stderr
    assert "pipelines.sync" in done.stderr
    (folder,) = runs(tmp_path)
    assert json.loads((folder / "record.json").read_text())["status"] == "FINISHED"
    again = run(tmp_path, "python", "-m", "pipelines.sync", code=1, PYTHONPATH=str(ROOT))
    assert "Nothing is lost" in again.stderr
    moved = run(tmp_path, "python", "-m", "pipelines.sync", f"uri=sqlite:///{tmp_path}/mlflow.db", PYTHONPATH=str(ROOT))
    assert "1 records are whole" in moved.stdout


@pytest.mark.cluster
def test_a_full_disk_and_a_read_only_folder(tmp_path):
    with disks.small(tmp_path / "disk", size="300k") as disk:
        message = refused(tmp_path, "+experiment=cnn", "trainer.max_epochs=1", f"paths.runs={disk}/runs", code=1)
        assert "is full" in message
        assert not list(disk.glob("runs/*/best.ckpt"))
        assert not list(disk.glob("runs/*/metrics.json"))
        shutil.rmtree(disk / "runs")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        message = refused(tmp_path, "+experiment=fnn", f"paths.runs={disk}/runs", code=1)
        assert "is read-only" in message


@pytest.mark.cluster
def test_a_killed_run_does_not_stay_running(tmp_path):
    """kill -9 of run and courier at once, as a reboot would; the next command closes the record truthfully."""
    command = ["python", "-m", "src.train", "+experiment=fnn", "trainer.max_epochs=100000"]
    started = subprocess.Popen(command, cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), stderr=subprocess.DEVNULL)
    try:
        while not list(tmp_path.glob("runs/*/.shipped.json")):
            assert started.poll() is None
            time.sleep(0.05)
    finally:
        chaos.kill_tree(psutil.Process(started.pid))
        started.wait()
    (folder,) = runs(tmp_path)
    assert json.loads((folder / "record.json").read_text())["status"] == "RUNNING"
    run(tmp_path, "python", "-m", "src.train", "+experiment=most_frequent", "tracking.wait=600", PYTHONPATH=str(ROOT))
    assert json.loads((folder / ".shipped.json").read_text())["status"] == "KILLED"
    assert json.loads((folder / "record.json").read_text())["tags"]["end"] == "DIED"
    with open(folder / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
