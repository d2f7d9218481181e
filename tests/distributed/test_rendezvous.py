"""The stores by which processes connect: servers of one process, one after another, on ports that the system reuses."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.servers import require

FEW = "20000 20255"  # the ports of a network of its own: with them all it would take hundreds of servers until one comes again
OPENED = """
import os
from src.distributed import rendezvous
ports = []
for number in range(60):
    server = rendezvous.server()
    ports.append(server.port)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(server.port))
    rendezvous.send({"code": number})
    assert rendezvous.receive() == {"code": number}
    del os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"], server
print(len(set(ports)))
"""


@pytest.mark.slow
def test_a_server_is_found_on_a_port_that_an_earlier_one_had():
    require(os.geteuid() == 0 and shutil.which("unshare"), "needs root and unshare: apt-get install util-linux")
    require(shutil.which("ip"), "needs ip: apt-get install iproute2")
    prepare = f"ip link set lo up && echo {FEW} > /proc/sys/net/ipv4/ip_local_port_range"
    command = ["unshare", "--net", "sh", "-c", f'{prepare} && exec "$@"', "sh", sys.executable, "-c", OPENED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60  # ports did come again
