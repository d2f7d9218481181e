"""What would trip a training up on this machine, and the remedy: `python -m src.doctor`, with the overrides of a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src import command, processes, rendezvous
from src.errors import InputError, RunFailed
from src.tracking import store

ROOT = Path(__file__).resolve().parents[1]
FREE = 2 * 2**30  # bytes on a disk, below which a run is likely to fill it
# File systems of a network, on which SQLite's locks are not to be relied on (sqlite.org/faq.html, question 5).
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "fuse.sshfs", "afs", "9p"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        state: ok, warning or error.
        text: what was found and, unless it is ok, the remedy.
    """

    state: str
    what: str
    text: str


def doctor(config: DictConfig) -> None:
    """Looks at everything that a run with this configuration needs, and prints what it finds.

    Raises:
        RunFailed: something would keep a run from its end.
    """
    content: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(config, ["trainer", "tracking", "paths", "cluster"]), resolve=True
    )
    found = []
    for finding in _all(content):
        found.append(finding)
        print(f"{finding.state:<8} {finding.what:<16} {finding.text}", flush=True)
    errors = [finding.what for finding in found if finding.state == "error"]
    if errors:
        raise RunFailed(f"{len(errors)} of {len(found)} checks found what keeps a run from its end: {', '.join(errors)}.")


def _all(content: Mapping[str, Any]) -> Iterator[Finding]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield versions([*project["dependencies"], *(ROOT / "constraints.txt").read_text().splitlines()])
    yield gpu([*Path("/dev").glob("nvidia[0-9]*")], str(content["trainer"].get("accelerator", "cpu")), os.environ)
    for name, place in content["paths"].items():
        yield folder(f"paths.{name}", Path(place))
    yield tracking(content["tracking"]["uri"], _mounts())
    yield slurm(os.environ, content["trainer"])
    yield from meeting()


def versions(requirements: Sequence[str]) -> Finding:
    """Whether what is installed is what the project was tested with.

    Args:
        requirements: one a line, as pip reads them; those without an exact version count for nothing.
    """
    wanted = {name: rest.split()[0] for name, pinned, rest in (line.partition("==") for line in requirements) if pinned}
    other = []
    for name, tested in wanted.items():
        try:
            received = version(name)
        except PackageNotFoundError:
            continue  # of another platform, or of an extra that is not installed
        if received.partition("+")[0] != tested:
            other.append(f"{name} {received} instead of {tested}")
    here = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if not (3, 11) <= sys.version_info < (3, 14):
        return Finding("error", "versions", f"{here}, expected 3.11, 3.12 or 3.13. Make a new .venv with one of them.")
    if other:
        shown = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        return Finding("warning", "versions", f"{shown}. As tested: make -B .venv/ready")
    return Finding("ok", "versions", f"{here}, and every package as tested")


def gpu(devices: Sequence[Path], accelerator: str, environment: Mapping[str, str]) -> Finding:
    """Whether torch can use the GPUs that the machine has.

    Args:
        devices: the files by which the driver shows its GPUs.
        accelerator: of the Trainer.
    """
    import torch

    if accelerator == "cpu":
        return Finding("ok", "GPU", "not asked for")
    if environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        state = "ok" if accelerator == "auto" else "error"
        return Finding(state, "GPU", "hidden by CUDA_VISIBLE_DEVICES, which holds none")
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
        return Finding("ok", "GPU", f"{torch.cuda.device_count()} x {', '.join(sorted(names))}, CUDA {torch.version.cuda}")
    if not devices:
        return Finding("ok", "GPU", f"none; {torch.get_num_threads()} threads of the processor compute")
    if torch.version.cuda is None:
        remedy = f"torch {torch.__version__} is built without CUDA. Install the CUDA build (pytorch.org, Get started)"
    else:
        remedy = f"torch is built for CUDA {torch.version.cuda}, which this driver does not run. Renew the driver"
    state = "warning" if accelerator == "auto" else "error"
    return Finding(state, "GPU", f"{len(devices)} that torch cannot use: {remedy}, or choose trainer.accelerator=cpu.")


def folder(name: str, path: Path, *, needed: int = FREE) -> Finding:
    """Whether a folder can be written to, and has room.

    Args:
        needed: bytes.
    """
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding("error", name, f"{path} cannot be written: {error.strerror}. Name another place: {name}=...")
    text = f"{path}, {free / 2**30:.1f} GiB free"
    if free < needed:
        return Finding("warning", name, f"{text}, expected {needed / 2**30:.1f}. Make room, or name another place: {name}=...")
    return Finding("ok", name, text)


def tracking(uri: str | None, mounts: Mapping[str, str]) -> Finding:
    """Whether the record can be shipped.

    Args:
        mounts: the kinds of file systems by where they are mounted.
    """
    address = store.address(uri)
    try:
        away = store.check(address)
    except InputError as error:
        return Finding("error", "tracking", str(error))
    if away:
        return Finding("warning", "tracking", f"{away}. Runs go on without it; `python -m pipelines.sync` ships them later.")
    path = store.database(address)
    if path and (kind := filesystem(path.absolute(), mounts)) in REMOTE:
        return Finding(
            "error",
            "tracking",
            f"{path} lies on {kind}, where SQLite's locks do not hold between machines. Start a server (mlflow server ...), "
            "and name it by tracking.uri=http://... or MLFLOW_TRACKING_URI.",
        )
    return Finding("ok", "tracking", address)


def filesystem(path: Path, mounts: Mapping[str, str]) -> str:
    """The kind of file system that a path lies on."""
    for parent in (path, *path.parents):
        if str(parent) in mounts:
            return mounts[str(parent)]
    return ""


def slurm(environment: Mapping[str, str], trainer: Mapping[str, Any]) -> Finding:
    """Whether a job of SLURM starts the processes that the configuration asks for."""
    job, tasks = environment.get("SLURM_JOB_ID"), int(environment.get("SLURM_NTASKS", 1))
    wanted = processes.wanted(trainer.get("devices", 1), trainer.get("num_nodes", 1))
    if job is None:
        return Finding("ok", "SLURM", "sbatch is here; this is no job" if shutil.which("sbatch") else "none")
    nodes = int(environment.get("SLURM_JOB_NUM_NODES", 1))
    if nodes != int(trainer.get("num_nodes", 1)):
        text = f"job {job} has {nodes} nodes; the configuration asks for trainer.num_nodes={trainer.get('num_nodes', 1)}."
        return Finding("error", "SLURM", f"{text} Make them equal.")
    if tasks > 1 and "WORLD_SIZE" not in environment and tasks != nodes:
        text = f"job {job} has {tasks} tasks, and each would start a training of its own."
        return Finding("error", "SLURM", f"{text} One task a node (--ntasks-per-node=1), which starts torchrun.")
    return Finding("ok", "SLURM", f"job {job}, {nodes} nodes, {wanted} processes in all")


def meeting() -> Iterator[Finding]:
    """Whether two processes of this machine can compute together, and one for each GPU where there are several."""
    import torch

    yield _meet("gloo", 2)
    if torch.cuda.device_count() > 1:
        yield _meet("nccl", torch.cuda.device_count())


def _meet(backend: str, count: int) -> Finding:
    from torch.distributed import TCPStore

    # Until all have met there: a port that was merely found to be free may be another's by then.
    held = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(held.port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    place |= {rendezvous.AGENT: "True", "TORCHELASTIC_RESTART_COUNT": "0"}  # as torchrun has it: no process serves it again
    environment = {**os.environ, **place, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "src.launch.meeting", backend]
    started = [
        subprocess.Popen(command, env={**environment, "RANK": str(n), "LOCAL_RANK": str(n)}, stderr=subprocess.PIPE, text=True)
        for n in range(count)
    ]
    try:
        said = [process.communicate(timeout=120)[1] for process in started]
    except subprocess.TimeoutExpired:
        said = ["they did not meet within two minutes"]
    finally:
        for process in started:
            process.kill()
    if all(process.returncode == 0 for process in started):
        return Finding("ok", backend, f"{count} processes added their numbers up")
    reason = next((text.strip().splitlines()[-1] for text in said if text.strip()), "a wrong sum")
    name = {"gloo": "GLOO_SOCKET_IFNAME", "nccl": "NCCL_SOCKET_IFNAME"}[backend]
    remedy = f"Look at the firewall and at {name}, which names the network interface; trainer=default needs no other process."
    return Finding("error", backend, f"{count} processes cannot compute together: {reason}. {remedy}")


def _mounts() -> dict[str, str]:
    import psutil

    return {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}


if __name__ == "__main__":
    command.main(doctor)
