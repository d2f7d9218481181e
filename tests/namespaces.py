"""Two nodes on one machine: network namespaces with addresses of their own, and a link between them that can be cut."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.launch import start
from tests.servers import require


@dataclass(frozen=True)
class Node:
    """A network namespace.

    Args:
        interface: its end of the link.
    """

    name: str
    interface: str
    address: str

    def start(self, folder: Path, *command: str, **extra: str) -> subprocess.Popen[str]:
        """Starts a command there, in the background."""
        return start(folder, "ip", "netns", "exec", self.name, *command, GLOO_SOCKET_IFNAME=self.interface, **extra)

    def link(self, state: str) -> None:
        """Takes its end of the link up or down."""
        _ip("-n", self.name, "link", "set", self.interface, state)

    def processes(self) -> list[int]:
        """The processes that are running there."""
        return [int(line) for line in _ip("netns", "pids", self.name).split()]


@contextmanager
def two_nodes() -> Iterator[Sequence[Node]]:
    """Two nodes that reach only each other. At the end of the block they are removed, with all their processes."""
    require(os.geteuid() == 0 and shutil.which("ip"), "needs root and ip: apt-get install iproute2")
    number = os.getpid() % 1_000_000  # an interface's name has 15 characters at most
    nodes = [Node(f"athanor-{number}-{n}", f"ath{number}n{n}", f"10.77.0.{n + 1}") for n in (0, 1)]
    added = subprocess.run(["ip", "netns", "add", nodes[0].name], capture_output=True, text=True, check=False)
    require(added.returncode == 0, f"this machine does not let its root make network namespaces: {added.stderr.strip()}")
    try:
        _ip("netns", "add", nodes[1].name)
        ends = [["name", node.interface, "netns", node.name] for node in nodes]
        _ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
        for node in nodes:
            _ip("-n", node.name, "address", "add", f"{node.address}/24", "dev", node.interface)
            for interface in ("lo", node.interface):
                _ip("-n", node.name, "link", "set", interface, "up")
        yield nodes
    finally:
        for node in nodes:
            if Path("/run/netns", node.name).exists():
                for process in node.processes():
                    os.kill(process, signal.SIGKILL)
                _ip("netns", "del", node.name)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
