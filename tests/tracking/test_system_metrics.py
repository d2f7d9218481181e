"""The load of several machines: sampled by each, and uploaded under its name."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from src.tracking import system_metrics
from src.tracking.journal import read
from src.tracking.queue import Queue
from tests.repository import ROOT, environment
from tests.tracking import client, record, run_folder, stored


def test_a_machine_beside_the_first_samples_until_its_process_is_gone(tmp_path, monkeypatch):
    """It samples again in the next attempt, and each step is in the file exactly once."""
    monkeypatch.setattr(system_metrics, "SAMPLING", 0.05)
    monkeypatch.setenv("SLURMD_NODENAME", "node2")
    monkeypatch.setattr(system_metrics.os, "nice", lambda _: 0)  # it is the test's own process
    path = system_metrics.file(tmp_path, "node2")
    for before in (0, 2):
        reader, writer = os.pipe()
        parent = threading.Thread(target=leave, args=(path, before + 2, writer))
        parent.start()
        with open(reader) as standard_input:
            monkeypatch.setattr(sys, "stdin", standard_input)
            system_metrics.main(tmp_path)
        parent.join()
        steps = sampled_steps(path)
        assert steps == list(range(len(steps)))
        assert len(steps) >= before + 2


def sampled_steps(path: Path) -> list[int]:
    return [point["step"] for point in read(path) if point["name"] == "system/node2/cpu_utilization_percentage"]


def leave(path: Path, count: int, pipe: int) -> None:
    """Closes a pipe when so many samples are in the file."""
    while len(sampled_steps(path)) < count:
        time.sleep(0.01)
    os.close(pipe)


def test_it_is_a_program(tmp_path):
    command = [sys.executable, "-m", "src.tracking.system_metrics", str(tmp_path)]
    variables = environment(PYTHONPATH=str(ROOT), SLURMD_NODENAME="node2")
    subprocess.run(command, stdin=subprocess.DEVNULL, env=variables, cwd=tmp_path, check=True)
    assert system_metrics.file(tmp_path, "node2").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "own"), [("2", "system/node1/"), ("1", "system/cpu")])
def test_what_they_sampled_is_uploaded_under_their_names(tmp_path, monkeypatch, serve, nodes, own):
    monkeypatch.setenv("SLURMD_NODENAME", "node1")
    now = time.time_ns() // 1_000_000
    folder = run_folder(tmp_path, params={"trainer.num_nodes": nodes}, started=now - 1000, ended=now)
    queue = Queue.of(folder, record(tmp_path)["uri"])
    points = "".join(
        f'{{"name": "system/node2/cpu", "step": {step}, "epoch": 0, "time": {10**12 + step}, "value": 1.5}}\n'
        for step in range(1200)
    )
    system_metrics.file(folder, "node2").write_text(points)
    for _ in range(2):
        queue.put(folder)
        serve(queue)
    run = stored(tmp_path)
    assert len(client(tmp_path).get_metric_history(run.info.run_id, "system/node2/cpu")) == 1200
    assert any(name.startswith(own) for name in run.data.metrics)


def test_the_load_of_others_is_what_this_process_does_not_use():
    others = system_metrics.Others()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            pass
        load = others.load()
        other.kill()
    assert 0.2 / (os.cpu_count() or 1) < load <= 1
