"""Checkpoints: whole, or the one before, or a clear refusal."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.errors import RunFailed
from src.runs import checkpoints
from tests.repository import ROOT


def content(number: int) -> dict:
    return {
        "state_dict": {"weight": torch.full((50, 40), float(number)), "count": torch.tensor(number)},
        "epoch": number,
        "nested": {"list": [1, 2.5, "text", None, (True, b"bytes")]},
    }


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "last.ckpt"


def number(state: dict) -> int:
    assert torch.equal(state["state_dict"]["weight"], torch.full((50, 40), float(state["epoch"])))
    return state["epoch"]


def test_what_is_written_comes_back(path):
    checkpoints.write(path, content(1))
    state = checkpoints.read(path)
    assert number(state) == 1
    assert state["nested"] == content(1)["nested"]
    assert torch.equal(state["state_dict"]["count"], torch.tensor(1))


def test_torch_reads_the_file_too(path):
    checkpoints.write(path, content(1))
    assert number(torch.load(path, weights_only=True)) == 1


def test_the_one_before_stays_beside_it(path):
    for i in (1, 2, 3):
        checkpoints.write(path, content(i))
    assert number(checkpoints.read(path)) == 3
    assert number(checkpoints.read(path.with_name("last.ckpt.prev"))) == 2
    assert {file.name for file in path.parent.iterdir()} == {"last.ckpt", "last.ckpt.prev"}


def flip(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


DAMAGES = {
    "a bit at the start": lambda data: flip(data, 0),
    "a bit in the middle": lambda data: flip(data, len(data) // 2),
    "a bit of the checksum": lambda data: flip(data, len(data) - 1),
    "the last byte gone": lambda data: data[:-1],
    "half of it gone": lambda data: data[: len(data) // 2],
    "the checksum gone": lambda data: data[: -checkpoints.TRAILER],
    "empty": lambda data: b"",
    "a byte too many": lambda data: data + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_gives_way_to_the_one_before(path, caplog, damage):
    checkpoints.write(path, content(1))
    checkpoints.write(path, content(2))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert number(checkpoints.read(path)) == 1
    damaged, replaced = (record.getMessage() for record in caplog.records)
    assert f"{path} is damaged" in damaged
    assert f"{path}.prev is read instead" in replaced


def test_a_damaged_file_never_takes_the_place_of_the_whole_one(path):
    checkpoints.write(path, content(1))
    checkpoints.write(path, content(2))
    path.write_bytes(flip(path.read_bytes(), 100))
    assert number(checkpoints.read(path)) == 1
    assert number(checkpoints.read(path)) == 1  # and again, before anything was written
    checkpoints.write(path, content(3))
    path.unlink()
    assert number(checkpoints.read(path)) == 1


def test_where_the_one_before_will_not_do_damage_is_refused(path):
    checkpoints.write(path, content(1))
    checkpoints.write(path, content(2))
    assert number(checkpoints.read(path, exact=True)) == 2
    path.write_bytes(flip(path.read_bytes(), 100))
    with pytest.raises(RunFailed, match=r"last\.ckpt: expected a whole checkpoint\. Remove .*trains from the start"):
        checkpoints.read(path, exact=True)


def test_what_a_killed_writer_left_goes_with_the_next_write(path):
    checkpoints.write(path, content(1))
    path.with_name(".last.ckpt.4711").write_bytes(b"half a checkpoint")
    path.with_name(".last.ckpt.prev").write_bytes(b"half a checkpoint")
    checkpoints.write(path, content(2))
    assert {file.name for file in path.parent.iterdir()} == {"last.ckpt", "last.ckpt.prev"}
    assert number(checkpoints.read(path.with_name("last.ckpt.prev"))) == 1


def test_every_bit_counts(path):
    checkpoints.write(path, {"epoch": 1, "state_dict": {"weight": torch.zeros(2)}})
    data = path.read_bytes()
    for index in range(0, len(data), 61):
        path.write_bytes(flip(data, index))
        with pytest.raises(RunFailed):
            checkpoints.read(path)


@pytest.mark.parametrize("damage", ["a bit in the middle", "empty"])
def test_two_damaged_files_are_refused(path, caplog, damage):
    checkpoints.write(path, content(1))
    checkpoints.write(path, content(2))
    for file in (path, path.with_name("last.ckpt.prev")):
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(RunFailed, match=r"last\.ckpt: expected a whole checkpoint, .*last\.ckpt\.prev; neither is.*Remove "):
        checkpoints.read(path)
    assert len(caplog.records) == 2


def test_a_file_that_went_missing_between_two_writes_leaves_the_one_before(path):
    assert not checkpoints.exists(path)
    checkpoints.write(path, content(1))
    checkpoints.write(path, content(2))
    path.unlink()
    assert checkpoints.exists(path)
    assert number(checkpoints.read(path)) == 1


def test_no_file_at_all_is_refused(path):
    with pytest.raises(RunFailed, match="expected a whole checkpoint"):
        checkpoints.read(path)


class Anything:
    """What a checkpoint must not hold."""


def test_an_object_of_any_class_is_not_loaded(path):
    checkpoints.write(path, {"network": Anything()})
    with pytest.raises(Exception, match=r"(?i)weights_?only"):
        checkpoints.read(path)


def test_lightning_writes_and_reads_through_it(path):
    io = checkpoints.AtomicIO()
    io.save_checkpoint(content(1), str(path))
    io.save_checkpoint(content(2), str(path))
    assert number(io.load_checkpoint(str(path))) == 2
    path.write_bytes(flip(path.read_bytes(), 100))
    assert number(io.load_checkpoint(path, weights_only=True)) == 1
    io.remove_checkpoint(path)
    io.remove_checkpoint(path)
    assert not path.exists()


KILL_THE_WRITER = """
import os, signal, sys
from pathlib import Path
import torch
from src.runs import checkpoints

path, told = Path(sys.argv[1]), 0
for pause in range(30):
    here, there = os.pipe()
    writer = os.fork()
    if not writer:
        while True:
            told += 1
            weight = torch.full((50, 40), float(told))
            checkpoints.write(path, {"epoch": told, "state_dict": {"weight": weight}})
            os.write(there, b".")
    os.close(there)
    for _ in range(1 + pause % 4):
        os.read(here, 1)
        told += 1
    for _ in range(1000 * pause):  # a little later each time
        pass
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    state = checkpoints.read(path)
    assert state["epoch"] >= told, (state["epoch"], told)
    assert (state["state_dict"]["weight"] == state["epoch"]).all()
    told = state["epoch"]
"""


@pytest.mark.cluster
def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_file(path):
    subprocess.run([sys.executable, "-c", KILL_THE_WRITER, str(path)], cwd=ROOT, check=True)
    assert checkpoints.read(path)["epoch"] >= 30
