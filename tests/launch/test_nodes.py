"""Two nodes with a network between them that is cut in the middle of a training."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from src.runs.folder import Run
from tests.launch import LONG, agrees, reached, runs, until
from tests.namespaces import Node, two_nodes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
BOTH = (*LONG, "trainer.devices=1", "trainer.num_nodes=2", "trainer.strategy.timeout.seconds=40")
PORT = "29400"  # in a network of the test's own


def start(nodes: Sequence[Node], folder: Path, *command: str) -> list[subprocess.Popen[str]]:
    """Starts a command on each node, without an agent of torchrun."""
    variables = {"WORLD_SIZE": str(len(nodes)), "MASTER_ADDR": nodes[0].address, "MASTER_PORT": PORT}
    return [node.start(folder, sys.executable, *command, RANK=str(rank), **variables) for rank, node in enumerate(nodes)]


def finish(commands: Sequence[subprocess.Popen[str]], *, code: int = 0) -> list[tuple[str, str]]:
    """What each command has printed, which must end with this code."""
    outputs = [command.communicate() for command in commands]
    assert [command.returncode for command in commands] == [code] * len(commands), outputs
    return outputs


def gone(nodes: Sequence[Node]) -> None:
    """Waits until no process runs on any node. An uploader may still be busy; it needs no network between the nodes."""
    while any(node.processes() for node in nodes):
        time.sleep(0.1)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Sequence[Node]]:
    with two_nodes() as pair:
        yield pair


@pytest.fixture(scope="module")
def undisturbed(nodes, tmp_path_factory) -> Run:
    """An undisturbed run of two nodes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (printed, _), (nothing, _) = finish(start(nodes, folder, *BOTH))
    (only,) = runs(folder)
    assert printed.count("run: ") == 1
    assert nothing == ""
    return only


def test_the_nodes_can_compute_together(nodes, tmp_path):
    commands = start(nodes, tmp_path, "-m", "src.launch.collective_check", "gloo")
    assert all("Traceback" not in error for _, error in finish(commands))
    assert [command.returncode for command in commands] == [0, 0]


@pytest.mark.parametrize("cut", [0, 1])
def test_a_link_that_is_cut_ends_both_sides_and_the_same_commands_go_on(nodes, tmp_path, undisturbed, cut):
    commands = start(nodes, tmp_path, *BOTH)
    until(reached(tmp_path, 3), commands[0])
    nodes[cut].link("down")
    try:
        for _, error in finish(commands, code=1):
            assert "The connection to another process of this training was lost" in error
            assert "The same command continues from the last checkpoint" in error
            assert "Traceback" not in error
        gone(nodes)
    finally:
        nodes[cut].link("up")
    finish(start(nodes, tmp_path, *BOTH))
    (only,) = runs(tmp_path)
    assert agrees(only, undisturbed)
    gone(nodes)


def test_a_command_that_is_refused_ends_on_all_nodes(nodes, tmp_path):
    (_, first), (_, second) = finish(start(nodes, tmp_path, *BOTH, "optimizer.lrr=1"), code=2)
    assert "optimizer.lrr: there is no such option" in first
    assert "error" not in second
    assert "Traceback" not in second
    assert runs(tmp_path) == []


def test_a_further_node_ends_where_the_first_process_was_killed(nodes, tmp_path):
    first, second = start(nodes, tmp_path, *BOTH)
    until(reached(tmp_path, 2), first)
    first.kill()  # ip has become the command
    first.communicate()
    _, error = second.communicate()
    assert second.returncode == 1
    assert "process 1: error: The connection to another process of this training was lost" in error
