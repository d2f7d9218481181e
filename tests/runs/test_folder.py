"""Run folders: the lock, the choice of a folder, and writing that leaves no torn file."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from src.errors import InputError, InUse
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run, choose
from src.runs.identity import flat
from tests import disks
from tests.repository import ROOT

HOLD = """
import sys
from pathlib import Path
from src.runs.folder import Run
with Run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""

WRITE_TOO_MUCH = """
import resource, sys
from pathlib import Path
from src.runs.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))
write_atomic(Path(sys.argv[1]), bytes(10**6))
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen]:
    """A second process that holds the lock of a run folder until its standard input ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def end_in(run: Run, work: Callable[[], object]) -> None:
    """Works in a run folder that was deleted."""
    with run.lock():
        shutil.rmtree(run.folder)
        work()


def test_a_folder_that_is_deleted_meanwhile_is_not_made_again(tmp_path):
    run = Run(tmp_path / "cnn-1")
    with pytest.raises(InputError, match="somebody deleted it meanwhile") as caught:
        end_in(run, lambda: run.metrics.read_bytes())
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert not run.folder.exists()


def test_a_deleted_folder_that_another_command_made_again_stays(tmp_path):
    run = Run(tmp_path / "cnn-1")
    with pytest.raises(InputError, match="somebody deleted it meanwhile"):
        end_in(run, lambda: write_atomic(run.metrics, b"of another command"))
    assert run.metrics.read_bytes() == b"of another command"


def test_a_lock_keeps_a_second_process_out(tmp_path):
    run = Run(tmp_path / "cnn-1")
    with another_process(run.folder) as process:
        assert run.locked()
        with pytest.raises(InUse) as caught, run.lock(timeout=0):
            pytest.fail("the lock let a second process in")
        assert f"process {process.pid} on " in str(caught.value)
        assert str(run.folder) in str(caught.value)
        assert caught.value.code == 3


def test_a_lock_is_free_after_its_holder_was_killed(tmp_path):
    run = Run(tmp_path / "cnn-1")
    with another_process(run.folder) as process:
        process.kill()
        assert process.wait() == -9
        assert not run.locked()
        with run.lock():
            assert (run.folder / ".lock").read_text().startswith(f"process {os.getpid()} on ")
            assert run.locked()


def test_a_lock_is_free_after_its_block(tmp_path):
    run = Run(tmp_path / "cnn-1")
    with run.lock():
        run.config.write_text("name: cnn\n")
    assert not run.locked()
    assert run.config.is_file()
    with run.lock():
        assert run.locked()


def test_a_folder_without_content_does_not_outlive_a_refusal(tmp_path):
    run = Run(tmp_path / "runs" / "cnn-1")
    with pytest.raises(InputError), run.lock():
        raise InputError("the model does not fit the data")
    assert not run.folder.exists()


def test_a_folder_with_content_outlives_a_failure(tmp_path):
    run = Run(tmp_path / "cnn-1")
    with pytest.raises(InputError):
        save_and_fail(run)
    assert run.last.read_bytes() == b"a checkpoint"


def save_and_fail(run: Run) -> None:
    with run.lock():
        run.last.write_bytes(b"a checkpoint")
        raise InputError("later")


def test_choosing_without_force_takes_the_run_that_is_there(tmp_path):
    finish(tmp_path / "cnn-1a2b")
    assert choose(tmp_path, "cnn", "1a2b", force=False).folder == tmp_path / "cnn-1a2b"
    assert choose(tmp_path, "cnn", "3c4d", force=False).folder == tmp_path / "cnn-3c4d"


def test_choosing_with_force_takes_the_next_suffix(tmp_path):
    chosen = []
    for _ in range(3):
        chosen.append(choose(tmp_path, "cnn", "1a2b", force=True).folder)
        finish(chosen[-1])
    assert [folder.name for folder in chosen] == ["cnn-1a2b", "cnn-1a2b.2", "cnn-1a2b.3"]


@pytest.mark.parametrize("content", [None, '{"val/accuracy": 0.5}'])
def test_a_forced_run_that_was_interrupted_is_continued(tmp_path, content):
    finish(tmp_path / "cnn-1a2b")
    interrupted = Run(tmp_path / "cnn-1a2b.2")
    interrupted.folder.mkdir()
    if content:  # trained, but not evaluated on the test split
        interrupted.metrics.write_text(content)
    assert choose(tmp_path, "cnn", "1a2b", force=True).folder == interrupted.folder


@pytest.mark.parametrize(("status", "name"), [("FINISHED", "cnn-1a2b.3"), ("RUNNING", "cnn-1a2b.2"), ("KILLED", "cnn-1a2b.2")])
def test_a_forced_run_whose_record_has_no_end_is_continued(tmp_path, status, name):
    for folder in ("cnn-1a2b", "cnn-1a2b.2"):
        finish(tmp_path / folder)
    write_json(Run(tmp_path / "cnn-1a2b.2").record, {"status": status})
    assert choose(tmp_path, "cnn", "1a2b", force=True).folder == tmp_path / name


def test_a_run_knows_how_far_it_came(tmp_path):
    run = Run(tmp_path)
    assert not run.fitted
    assert not run.evaluated
    write_json(run.metrics, {"val/accuracy": 0.5})
    assert run.fitted
    assert not run.evaluated
    write_json(run.metrics, {"val/accuracy": 0.5, "test/accuracy": 0.4})
    assert run.evaluated


def test_writing_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a folder" / "file"
    write_atomic(path, b"old and long")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_json_goes_there_and_back(tmp_path):
    content = {"value": 0.1, "none": None, "text": "ä", "list": [1, 2]}
    write_json(tmp_path / "file.json", content)
    assert read_json(tmp_path / "file.json") == content
    assert read_json(tmp_path / "missing.json") == {}


def test_a_limit_on_the_size_of_files_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", WRITE_TOO_MUCH, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    with disks.small(tmp_path / "small", size="64k") as small:
        path = small / "file"
        write_atomic(path, b"old")
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, bytes(10**6))
        assert path.read_bytes() == b"old"
        assert [file.name for file in small.iterdir()] == ["file"]


def test_flat_gives_every_leaf():
    node = {"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}], "f": None}
    assert dict(flat(node)) == {"a.b": 1, "a.c": {}, "d": [1, {"e": 2}], "f": None}


def finish(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_json(Run(folder).metrics, {"val/accuracy": 0.5, "test/accuracy": 0.5})
