"""Damaged checkpoints and a disk without room: the same command ends like an undisturbed one, or names the remedy."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import chaos, disks

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) * 2 // 3],
    "a flipped bit": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 16]) + data[len(data) // 2 + 1 :],
    "empty": lambda data: b"",
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return chaos.outcome(chaos.train(tmp_path_factory.mktemp("whole"), *chaos.NET, chaos.NOWHERE))


def saved_twice(folder: Path) -> bool:
    return any(folder.glob("runs/*/last.ckpt.prev"))


def saved_on_the_disk(folder: Path) -> bool:
    return any(folder.glob("disk/runs/*/last.ckpt"))


def killed(folder: Path) -> Path:
    """The folder of a run that was killed when it had saved twice."""
    chaos.kill(chaos.paused(folder, *chaos.NET, chaos.NOWHERE, when=saved_twice), uploader=False)
    return chaos.run(folder)


@pytest.mark.parametrize("damage", ["truncated", "a flipped bit", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, expected, damage):
    last = killed(tmp_path) / "last.ckpt"
    damage_file(last, DAMAGES[damage])
    assert chaos.outcome(chaos.train(tmp_path, *chaos.NET, chaos.NOWHERE)) == expected
    assert "last.ckpt is damaged" in chaos.output(tmp_path)
    assert "last.ckpt.prev is read instead" in chaos.output(tmp_path)


def test_without_a_whole_checkpoint_the_remedy_is_named_and_works(tmp_path, expected):
    folder = killed(tmp_path)
    for name in ("last.ckpt", "last.ckpt.prev"):
        damage_file(folder / name, DAMAGES["truncated"])
    chaos.train(tmp_path, *chaos.NET, chaos.NOWHERE, code=1)
    assert f"Remove runs/{folder.name}, and the same command trains from the start" in chaos.output(tmp_path)
    shutil.rmtree(folder)
    assert chaos.outcome(chaos.train(tmp_path, *chaos.NET, chaos.NOWHERE)) == expected


def test_damaged_best_weights_are_never_replaced_by_other_ones(tmp_path):
    folder = chaos.train(tmp_path, *chaos.NET, chaos.NOWHERE)
    damage_file(folder / "best.ckpt", DAMAGES["a flipped bit"])
    (folder / "metrics.json").unlink()  # so that the command needs them again
    chaos.train(tmp_path, *chaos.NET, chaos.NOWHERE, code=1)
    assert "best.ckpt: expected a whole checkpoint. Remove" in chaos.output(tmp_path)
    assert not (folder / "metrics.json").exists()


def test_a_run_folder_that_is_deleted_ends_the_training_and_the_same_command_begins_anew(tmp_path, expected):
    process = chaos.paused(tmp_path, *chaos.NET, chaos.NOWHERE, when=saved_twice)
    try:
        folder = chaos.run(tmp_path)
        shutil.rmtree(folder)
    finally:
        chaos.resume(process)
    assert process.wait() == 2, chaos.output(tmp_path)
    assert f"{folder.relative_to(tmp_path)}: expected the run folder to stay; somebody deleted it" in chaos.output(tmp_path)
    assert "Traceback" not in chaos.output(tmp_path)
    assert not folder.exists()
    assert chaos.outcome(chaos.train(tmp_path, *chaos.NET, chaos.NOWHERE)) == expected


def damage_file(path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Damages one name of a file; a kill may have come when the one before was another name of it."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(data))


def fill(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, bytes(4096))
    finally:
        os.close(file)


def test_a_disk_that_fills_up_in_mid_training_costs_no_more_than_the_time_until_there_is_room(tmp_path, expected):
    """Another program takes the room; when it is there again, the same command goes on."""
    with disks.small(tmp_path / "disk", size="8m") as disk:
        command = (*chaos.NET, chaos.NOWHERE, f"paths.runs={disk}/runs")
        process = chaos.paused(tmp_path, *command, when=saved_on_the_disk)
        try:
            with pytest.raises(OSError, match="No space left"):
                fill(disk / "another's")
        finally:
            chaos.resume(process)
        assert process.wait() == 1, chaos.output(tmp_path)
        assert "is full" in chaos.output(tmp_path)
        assert "the same command then continues" in chaos.output(tmp_path)
        (disk / "another's").unlink()
        chaos.finish(tmp_path, *command)
        (run,) = (disk / "runs").glob("[!.]*")
        assert chaos.outcome(run) == expected
