"""A real SLURM for tests: a controller and several nodes on this machine, in a temporary folder, on free ports."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.servers import free_port, require

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
TIMEOUT = 240  # seconds for the nodes to be ready, and for everything to end


@contextmanager
def cluster(nodes: int = 2) -> Iterator[dict[str, str]]:
    """Nodes called node1, node2 ...; gives what the environment of its commands needs.

    Its folder is not one of pytest's: a socket's path must be short, and only their owner may enter those.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    require(not missing, f"needs {', '.join(missing)}: apt-get install slurm-wlm munge")
    require(os.geteuid() == 0, "needs root, as whom SLURM's daemons start jobs")
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        _configure(folder, nodes)
        try:
            _start(folder, nodes)
            yield environment
        finally:
            _stop(folder)


def ask(environment: dict[str, str], *command: str) -> str:
    """What one of SLURM's commands prints."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


def _configure(folder: Path, nodes: int) -> None:
    host = socket.gethostname().partition(".")[0]
    lines = [
        "ClusterName=local",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={free_port()}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        # A job that is queued again waits until the credentials of its last start have expired.
        f"AuthInfo=socket={folder}/munge.sock,cred_expire=5",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool.%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmdPidFile={folder}/slurmd.%n.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdLogFile={folder}/slurmd.%n.log",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "ReturnToService=2",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU",
        "MpiDefault=none",
        "KillWait=30",
        "AccountingStorageType=accounting_storage/none",
        "JobAcctGatherType=jobacct_gather/none",
    ]
    lines += [
        f"NodeName=node{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=2 State=UNKNOWN"
        for number in range(1, nodes + 1)
    ]
    lines.append(f"PartitionName=main Nodes=node[1-{nodes}] Default=YES MaxTime=INFINITE State=UP")
    (folder / "state").mkdir()
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)


def _start(folder: Path, nodes: int) -> None:
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    files = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munged.pid", "log-file": "munged.log"}
    options = [f"--{option}={folder / name}" for option, name in {**files, "seed-file": "munge.seed"}.items()]
    ask(environment, "munged", "--force", *options)
    ask(environment, "slurmctld")
    for number in range(1, nodes + 1):
        ask(environment, "slurmd", "-N", f"node{number}")
    until = time.monotonic() + TIMEOUT
    while ask(environment, "sinfo", "-h", "-t", "idle", "-o", "%D") != str(nodes):
        assert time.monotonic() < until, (folder / "slurmctld.log").read_text()
        time.sleep(0.2)


def _stop(folder: Path) -> None:
    """Ends every job and every daemon, and whatever they have left."""
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(["scancel", "--user=root", "--signal=KILL", "--full"], env=environment, timeout=10, check=False)
        subprocess.run(["scancel", "--user=root"], env=environment, timeout=10, check=False)
    ours = [process for process in psutil.process_iter() if process.pid != os.getpid() and _belongs(process, folder)]
    for process in ours:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(ours, timeout=5)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(ours, timeout=TIMEOUT)


def _belongs(process: psutil.Process, folder: Path) -> bool:
    """Whether a process was started in this cluster, or is one of its daemons."""
    try:
        conf = process.environ().get("SLURM_CONF", "")
        return Path(conf).parent == folder or any(str(folder) in word for word in process.cmdline())
    except psutil.Error:
        return False
