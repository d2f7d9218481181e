"""Commands of several processes: started by the first one or by torchrun, refused, and killed in the middle."""

import os
import re
import signal
import sys

import pandas as pd
import pytest

from src.runs.folder import Run
from tests.launch import EXTRA, LONG, STANDALONE, TORCHRUN, VERB, agrees, kill, process, reached, runs, start, until
from tests.nets import points
from tests.records import whole_store
from tests.repository import run
from tests.servers import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Run:
    """The run of an undisturbed command."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run(folder, sys.executable, *LONG, **EXTRA)
    (only,) = runs(folder)
    assert done.stdout.splitlines()[-1] == f"run: runs/{only.folder.name}"
    assert done.stdout.count("run: ") == 1
    steps = [line.split(maxsplit=1)[0] for line in done.stderr.splitlines()]  # each once, and no process warns of anything
    assert steps == ["evaluating", "evaluating", "analysing", "recording", "record:"]
    return only


def test_one_run_and_one_record_for_all_processes(undisturbed):
    client = whole_store(undisturbed.folder.parents[1])
    (recorded,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    assert recorded.info.status == "FINISHED"
    assert len(client.get_metric_history(recorded.info.run_id, "val/loss")) == 12
    rows = pd.read_parquet(undisturbed.predictions)["index"]
    assert rows.is_unique
    assert len(rows) == 359
    steps = sorted(step for name, step in points(undisturbed.folder) if name == "val/loss")
    assert steps == [37 * epoch for epoch in range(1, 13)]  # 1,168 examples, 32 a step


def test_torchrun_trains_the_same_and_finds_it_again(undisturbed, tmp_path):
    done = run(tmp_path, *STANDALONE, *LONG, **EXTRA)
    assert done.stdout.count("run: ") == 1
    (only,) = runs(tmp_path)
    assert agrees(only, undisturbed)
    again = run(tmp_path, *STANDALONE, *LONG, **EXTRA)
    assert again.stdout.count("This run exists") == 1
    assert runs(tmp_path) == [only]


@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_starts_again_where_a_process_was_killed(undisturbed, tmp_path, rank):
    command = start(tmp_path, *STANDALONE, *LONG)
    for epoch in (3, 7):
        until(reached(tmp_path, epoch), command)
        kill(command, rank)
    printed, error = command.communicate()
    assert command.returncode == 0, error
    assert printed.count("run: ") == 1
    (only,) = runs(tmp_path)
    assert agrees(only, undisturbed)


def test_a_command_ends_where_a_further_process_was_killed_and_continues(undisturbed, tmp_path):
    command = start(tmp_path, sys.executable, *LONG)
    until(reached(tmp_path, 3), command)
    kill(command, 1)
    _, error = command.communicate()
    assert command.returncode == 1
    assert "error: Process 1 of 2 ended with code -9; the training cannot go on without it. The same command" in error
    assert "Traceback" not in error
    run(tmp_path, sys.executable, *LONG, **EXTRA)
    (only,) = runs(tmp_path)
    assert agrees(only, undisturbed)


def test_the_further_processes_die_with_the_first(tmp_path):
    command = start(tmp_path, sys.executable, *LONG)
    until(reached(tmp_path, 2), command)
    other = process(command, 1)
    os.kill(command.pid, signal.SIGKILL)
    command.communicate()
    other.wait(120)
    assert not other.is_running()


def test_two_nodes(tmp_path):
    """Two agents on one machine, which share a folder as nodes do."""
    rendezvous = ("--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=two")
    agent = (sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", *rendezvous)
    settings = (*VERB, "trainer.max_epochs=2", "trainer.devices=1", "trainer.num_nodes=2")
    nodes = [start(tmp_path, *agent, *settings) for _ in range(2)]
    printed = [node.communicate() for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], printed
    assert sum(out.count("run: ") for out, _ in printed) == 1
    (only,) = runs(tmp_path)
    assert max(step for _, step in points(only.folder)) == 74


def test_what_is_refused_is_refused_once_and_nothing_is_written(tmp_path):
    three = run(tmp_path, *STANDALONE, *VERB, "trainer.devices=3", code=1, **EXTRA)  # torchrun's own code
    assert three.stderr.count("error: expected 3 processes, because trainer.devices=3 and trainer.num_nodes=1") == 4
    assert runs(tmp_path) == []
    nodes = run(tmp_path, sys.executable, *VERB, "trainer.num_nodes=2", code=2, **EXTRA)
    assert "expected a start by torchrun on each node" in nodes.stderr
    assert runs(tmp_path) == []


def test_a_second_command_is_told_that_the_run_is_in_use(tmp_path):
    endless = (*LONG, "trainer.max_epochs=100000")
    command = start(tmp_path, sys.executable, *endless)
    try:
        until(reached(tmp_path, 2), command)
        second = run(tmp_path, sys.executable, *endless, code=3, **EXTRA)
        assert f"{runs(tmp_path)[0].folder.relative_to(tmp_path)} is in use by process {command.pid}" in second.stderr
        by_torchrun = run(tmp_path, *TORCHRUN, "--standalone", *endless, code=1, **EXTRA)
        assert by_torchrun.stderr.count("is in use by process") == 1
        assert len(re.findall(r"exitcode\s*: 3", by_torchrun.stderr)) >= 1
        assert command.poll() is None
    finally:
        command.kill()
        command.communicate()
