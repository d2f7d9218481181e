"""The journal: every value once, whatever was interrupted."""

import json
import math
from pathlib import Path

import pytest
import torch

from src.tracking.journal import BUFFERED, Journal, mend, read


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a folder" / "metrics.jsonl"


def points(path: Path) -> list[tuple[str, int, int, float]]:
    return [(point["name"], point["step"], point["epoch"], point["value"]) for point in read(path)]


def write(path: Path, *logged: tuple[dict, int, int]) -> None:
    journal = Journal(path)
    for metrics, step, epoch in logged:
        journal.log(metrics, step, epoch)
    journal.close()


def test_what_is_logged_can_be_read_in_its_order(path):
    write(path, ({"train/loss": 0.5, "train/lr": 1e-3}, 20, 1), ({"train/loss": 0.25}, 40, 1), ({"val/accuracy": 1}, 40, 1))
    assert points(path) == [
        ("train/loss", 20, 1, 0.5),
        ("train/lr", 20, 1, 1e-3),
        ("train/loss", 40, 1, 0.25),
        ("val/accuracy", 40, 1, 1.0),
    ]
    for line in path.read_text().splitlines():
        assert set(json.loads(line)) == {"name", "step", "epoch", "time", "value"}
    assert all(1_600_000_000_000 < point["time"] < 4_000_000_000_000 for point in read(path))  # milliseconds


def test_a_name_and_step_stand_there_once(path):
    write(path, ({"a": 1.0}, 1, 1), ({"a": 2.0}, 1, 1), ({"a": 3.0, "b": 3.0}, 1, 1), ({"a": 4.0}, 2, 1))
    assert points(path) == [("a", 1, 1, 1.0), ("b", 1, 1, 3.0), ("a", 2, 1, 4.0)]


def test_a_replay_drops_the_points_that_are_there(path):
    write(path, ({"a": 1.0}, 1, 1), ({"a": 2.0}, 2, 1))
    before = path.read_bytes()
    write(path, ({"a": 1.0}, 1, 1), ({"a": 2.0}, 2, 1), ({"a": 3.0}, 3, 2))
    assert path.read_bytes().startswith(before)  # with the first times: what was uploaded stays true
    assert [value for *_, value in points(path)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_mended(path, cut):
    write(path, ({"a": 1.0}, 1, 1), ({"a": 2.0}, 2, 1))
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    assert points(path) == [("a", 1, 1, 1.0)]  # a reader does not change the incomplete line
    assert path.read_bytes() == data[:-cut]
    write(path, ({"a": 2.0}, 2, 1), ({"a": 3.0}, 3, 1))
    assert [value for *_, value in points(path)] == [1.0, 2.0, 3.0]


def test_a_journal_that_was_deleted_is_not_written_on(path):
    journal = Journal(path)
    assert journal.stands()
    path.unlink()
    journal.log({"a": 1.0}, 1, 1)
    with pytest.raises(FileNotFoundError, match="it was deleted"):
        journal.write()
    path.write_text("")  # of another command
    assert not journal.stands()
    journal.abandon()
    assert path.read_text() == ""


def test_mending_leaves_whole_lines_alone(path):
    mend(path)
    assert not path.exists()
    write(path, ({"a": 1.0}, 1, 1))
    data = path.read_bytes()
    mend(path)
    assert path.read_bytes() == data
    path.write_bytes(b'{"name": "a"')  # not even one whole line
    mend(path)
    assert path.read_bytes() == b""


def test_values_that_are_no_numbers_come_back_as_they_are(path):
    write(path, ({"nan": math.nan, "inf": math.inf, "less": -math.inf}, 1, 1))
    values = {name: value for name, _, _, value in points(path)}
    assert math.isnan(values["nan"])
    assert (values["inf"], values["less"]) == (math.inf, -math.inf)


@pytest.mark.parametrize("value", [torch.tensor(0.5), torch.tensor([0.5]), torch.tensor(0.5, dtype=torch.bfloat16)])
def test_tensors_are_taken(path, value):
    write(path, ({"a": value, "b": torch.tensor(3)}, 1, 1))
    assert points(path) == [("a", 1, 1, 0.5), ("b", 1, 1, 3.0)]


def test_a_reader_goes_on_from_an_offset(path):
    journal = Journal(path)
    journal.log({"a": 1.0, "ä": 2.0}, 1, 1)
    journal.write()
    first = list(read(path))
    assert first[-1]["end"] == path.stat().st_size
    assert [point["name"] for point in read(path, first[0]["end"])] == ["ä"]
    assert list(read(path, first[-1]["end"])) == []
    journal.log({"a": 3.0}, 2, 1)
    journal.close()
    assert [point["value"] for point in read(path, first[-1]["end"])] == [3.0]


def test_a_journal_that_is_not_there_has_no_points(tmp_path):
    assert list(read(tmp_path / "metrics.jsonl")) == []


def test_flushing_makes_everything_readable(path):
    journal = Journal(path)
    journal.log({"a": 1.0}, 1, 1)
    journal.flush()
    assert points(path) == [("a", 1, 1, 1.0)]
    journal.close()


def test_a_full_buffer_is_written(path):
    journal = Journal(path)
    for step in range(BUFFERED):
        journal.log({"a": 1.0}, step, 1)
    assert len(points(path)) == BUFFERED
    journal.close()
