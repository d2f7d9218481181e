"""Many image files: decoded by several processes into one file, and a preparation that is ended on the way."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from src.data import duplicates, worker_pool
from src.data.sources import image_files, pixels
from src.data.sources.folder import Folder
from tests import disks, repository
from tests.data.prepared import prepare

COUNT = 600  # more than one process decodes alone


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two classes of small images; some have 16 bits, some another size, and three cannot be read."""
    root = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        path = root / "ab"[number % 2] / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        image = rng.integers(0, 256, (8, 8 + number % 5, 3), dtype=np.uint8)
        Image.fromarray(image[..., 0].astype(np.uint16) * 16 if number % 7 == 1 else image).save(path)
    for number in (10, 11, 300):
        path = root / "ab"[number % 2] / f"{number:03}.png"
        path.write_bytes(path.read_bytes()[:60])
    return root


@pytest.fixture
def two(monkeypatch) -> None:
    monkeypatch.setattr(worker_pool, "processors", lambda: 2)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["decoded", "encoded"])
def test_several_processes_store_what_one_stores(storage, root, tmp_path, two, monkeypatch):
    source = Folder(root=str(root), size=8, channels=3, storage=storage, max_unreadable=3)
    several = prepare(tmp_path / "several", source)
    monkeypatch.setattr(image_files, "ALONE", COUNT + 1)
    alone = prepare(tmp_path / "alone", source)
    raw = source.read()  # in memory
    assert several.card == alone.card
    assert several.card["notes"][0].startswith("3 of 600 files cannot be read as images")
    assert (several.folder / "image.npy").read_bytes() == (alone.folder / "image.npy").read_bytes()
    image = raw.arrays["image"]
    assert raw.digests == duplicates._digests(image, raw.group)
    assert np.array_equal(several.array("image"), image if storage == "decoded" else image.files.values)
    assert several.names == raw.names
    assert sorted(path.name for path in several.folder.iterdir()) == sorted(path.name for path in alone.folder.iterdir())


def test_one_file_is_read_as_the_same_file_of_a_data_set(root):
    raw = Folder(root=str(root), size=6, channels=1, max_unreadable=3).read()
    for row in (0, 5, 100, 301):
        path = root / raw.names[row]
        for file in (path, path.read_bytes()):
            one = pixels.one(file, channels=1, shift=4, size=(6, 6))
            assert np.array_equal(one, raw.arrays["image"][row])
    with pytest.raises(ValueError, match="expected the content of an image"):
        pixels.one(b"text", channels=1, shift=0, size=None)


@pytest.mark.slow
def test_some_classes_are_taken_on_disk_too(root, tmp_path, two):
    source = Folder(root=str(root), size=8, channels=1, max_unreadable=3)
    whole, some = (prepare(tmp_path / str(classes), source, classes=classes) for classes in (None, [1, 0]))
    assert np.array_equal(some.array("image"), whole.array("image"))
    assert np.array_equal(some.array("target"), 1 - whole.array("target"))
    assert not [*some.folder.glob("*scratch*")]


def test_a_disk_without_room_is_noticed_before_the_first_image(root, tmp_path):
    with disks.small(tmp_path / "full", size="64k") as folder:
        with pytest.raises(OSError, match="No space left on device") as caught:
            prepare(folder / "d", Folder(root=str(root), size=8, channels=3, max_unreadable=3))
        assert caught.value.filename.startswith(str(folder))
        assert not [*folder.iterdir()]


def kill(process: psutil.Process) -> None:
    process.kill()


def interrupt(process: psutil.Process) -> None:
    """As Ctrl-C at a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


def kill_a_worker(process: psutil.Process) -> None:
    until(lambda: any(worker_pool.WORKER in child.cmdline() for child in process.children()))
    next(child for child in process.children() if worker_pool.WORKER in child.cmdline()).kill()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code", "message", "storage"),
    [
        (kill, -signal.SIGKILL, "", "decoded"),
        (kill, -signal.SIGKILL, "", "encoded"),
        (interrupt, 130, "interrupted; the same command continues.\n", "decoded"),
        (kill_a_worker, 1, "error: A process that decodes images ended with code -9 (SIGKILL", "encoded"),
    ],
)
@pytest.mark.skipif(worker_pool.processors() == 1, reason="one processor decodes in the process of the command")
def test_a_preparation_that_ends_early_leaves_nothing_and_is_begun_again(root, tmp_path, end, code, message, storage):
    settings = (f"data.root={root}", f"data.storage={storage}", "data.size=8", "data.max_unreadable=3")
    command = ("python", "-m", "src.prepare", "data=image_folder", *settings)
    prepared = tmp_path / "data" / "prepared"
    process = repository.start(tmp_path, *command, PYTHONPATH=str(repository.ROOT), fresh=True, new_session=True)
    until(lambda: [*prepared.glob(".*/*.scratch.npy")])
    children = psutil.Process(process.pid).children()
    end(psutil.Process(process.pid))
    _, errors = process.communicate()
    assert process.returncode == code, errors
    assert errors.startswith(message)
    assert errors.count("\n") == (1 if message else 0)
    assert not [*prepared.glob("[!.]*")]
    assert (end is kill) == bool([*prepared.glob(".*")])
    until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
    repository.run(tmp_path, *command, PYTHONPATH=str(repository.ROOT))
    (folder,) = prepared.iterdir()
    assert folder.name.startswith("image_folder-")
    assert len(np.load(folder / "target.npy")) == COUNT - 3
