"""A lock between machines: a holder that the kernel does not show lives while its heartbeats come."""

import os
import threading
import time

import pytest

from src.errors import InUse
from src.runs import locks


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a run" / ".lock"


@pytest.fixture
def quick(monkeypatch):
    """Heartbeats as they are, only faster."""
    monkeypatch.setattr(locks, "HEARTBEAT", 0.05)


def elsewhere(path, *, seconds: float) -> None:
    """What a holder on another machine leaves behind, so many seconds after its last heartbeat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("process 7 on another-machine, since 2026-01-01 00:00:00")
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_holder_has_heartbeats(path, quick):
    with locks.exclusive(path):
        os.utime(path, (0, 0))
        while not path.stat().st_mtime:
            time.sleep(0.01)
        assert path.read_text().startswith(f"process {os.getpid()} on ")
    assert path.read_text() == ""


def test_a_holder_on_another_machine_counts_while_it_beats(path):
    elsewhere(path, seconds=locks.DEAD_AFTER / 2)
    assert locks.is_locked(path)
    elsewhere(path, seconds=locks.DEAD_AFTER * 2)
    assert not locks.is_locked(path)
    assert [file.name for file in path.parent.iterdir()] == [".lock"]


def test_a_living_holder_on_another_machine_keeps_others_out(path, quick):
    elsewhere(path, seconds=0)
    over = threading.Event()
    beating = threading.Thread(target=locks._beat, args=(path, over))
    beating.start()
    try:
        with pytest.raises(InUse, match="in use by process 7 on another-machine"), locks.exclusive(path, timeout=0):
            pytest.fail("it let a second process in")
    finally:
        over.set()
        beating.join()


@pytest.mark.slow
def test_a_dead_holder_on_another_machine_is_waited_out(path, capsys, monkeypatch):
    monkeypatch.setattr(locks, "TIMEOUT", 0.2)
    monkeypatch.setattr(locks, "DEAD_AFTER", 5.0)
    elsewhere(path, seconds=0)
    with locks.exclusive(path, timeout=0):
        assert not locks._silence(path) < locks.DEAD_AFTER
    assert "waiting for" in capsys.readouterr().err


def test_a_holder_that_lets_go_in_time_is_waited_for(path):
    inside, over = threading.Event(), threading.Event()

    def hold():
        with locks.exclusive(path):
            inside.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    assert locks.is_locked(path)
    threading.Timer(0.3, over.set).start()
    with locks.exclusive(path, timeout=100):
        assert not holder.is_alive() or over.is_set()
    holder.join()


def test_a_lock_file_that_was_removed_is_not_held_twice(path):
    """A holder may remove the file and its folder while another one waits with the old file open."""
    with locks.exclusive(path):
        path.unlink()
        with locks.exclusive(path, timeout=0):  # the name is free
            assert locks.is_locked(path)
        assert not locks.is_locked(path)


def test_those_who_share_a_lock_hold_it_until_the_last_has_gone(path):
    assert not locks.is_locked(path)
    with locks.shared(path):
        with locks.shared(path):
            assert locks.is_locked(path)
        assert locks.is_locked(path)
    assert not locks.is_locked(path)
    (own,) = path.parent.iterdir()
    assert own.name.startswith(f"{path.name}@")
    assert own.read_text() == ""


def test_of_those_who_share_a_lock_one_on_another_machine_counts_while_it_beats(path):
    other = path.with_name(f"{path.name}@another-machine")
    with locks.shared(path):
        elsewhere(other, seconds=0)
    elsewhere(other, seconds=locks.DEAD_AFTER / 2)
    assert locks.is_locked(path)
    elsewhere(other, seconds=locks.DEAD_AFTER * 2)
    assert not locks.is_locked(path)
