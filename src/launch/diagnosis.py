"""What a training needs of a machine: versions, GPUs, folders, the tracking store, a job of SLURM, other processes."""

import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from src.distributed import processes
from src.errors import InputError
from src.tracking import store

ROOT = Path(__file__).resolve().parents[2]
FREE = 2 * 2**30  # bytes on a disk, below which a run is likely to fill it
# File systems of a network, on which SQLite's locks are not to be relied on (sqlite.org/faq.html, question 5).
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "fuse.sshfs", "afs", "9p"}


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        state: ok, warning or error.
        subject: what was checked.
        text: the state of it and, unless it is ok, the remedy.
    """

    state: str
    subject: str
    text: str


def findings(content: Mapping[str, Any]) -> Iterator[Finding]:
    """Every check, one after the other.

    Args:
        content: `trainer`, `tracking` and `paths` of a configuration, as a plain container.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield versions([*project["dependencies"], *(ROOT / "constraints.txt").read_text().splitlines()])
    yield gpu([*Path("/dev").glob("nvidia[0-9]*")], str(content["trainer"].get("accelerator", "cpu")), os.environ)
    yield torchvision()
    for name, path in content["paths"].items():
        yield folder(f"paths.{name}", Path(path))
    yield tracking(content["tracking"]["uri"], _mounts())
    yield slurm(os.environ, content["trainer"])
    yield from collectives()


def versions(requirements: Sequence[str]) -> Finding:
    """Whether what is installed is what the project was tested with.

    Args:
        requirements: lines of a requirements file. Those without an exact version are passed over.
    """
    pins = {name: rest.split()[0] for name, exact, rest in (line.partition("==") for line in requirements) if exact}
    other = []
    for name, wanted in pins.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue  # of another platform, or of an extra that is not installed
        if installed.partition("+")[0] != wanted:
            other.append(f"{name} {installed} instead of {wanted}")
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if not (3, 11) <= sys.version_info < (3, 14):
        return Finding("error", "versions", f"{python}, expected 3.11, 3.12 or 3.13. Make a new .venv with one of them.")
    if other:
        shown = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        return Finding("warning", "versions", f"{shown}. As tested: make -B .venv/ready")
    return Finding("ok", "versions", f"{python}, and every package as tested")


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
        return Finding(state, "GPU", "hidden by CUDA_VISIBLE_DEVICES, which names none")
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
        return Finding("ok", "GPU", f"{torch.cuda.device_count()} x {', '.join(sorted(names))}, CUDA {torch.version.cuda}")
    if not devices:
        return Finding("ok", "GPU", f"none; {torch.get_num_threads()} threads of the processor compute")
    if torch.version.cuda is None:
        remedy = f"torch {torch.__version__} is built without CUDA. Install the CUDA build (pytorch.org, Get started)"
    else:
        remedy = f"torch is built for CUDA {torch.version.cuda}, which this driver does not support. Update the driver"
    state = "warning" if accelerator == "auto" else "error"
    return Finding(state, "GPU", f"{len(devices)} that torch cannot use: {remedy}, or choose trainer.accelerator=cpu.")


def torchvision() -> Finding:
    """Whether torchvision can be imported, which Lightning's metrics import wherever it is installed."""
    try:
        import torchvision
    except ImportError:
        return Finding("ok", "torchvision", "not installed; only its own models need it")
    except RuntimeError as error:  # its operators are missing
        remedy = "Install builds of torch and torchvision that fit each other: make -B .venv/ready"
        return Finding("error", "torchvision", f"it cannot be imported beside this torch: {error}. {remedy}")
    compiled = torchvision.extension._has_ops()
    own = "with its operators" if compiled else "without its compiled operators, which no model here needs"
    return Finding("ok", "torchvision", f"{torchvision.__version__}, {own}")


def folder(name: str, path: Path, *, needed: int = FREE) -> Finding:
    """Whether a folder can be written to, and has room.

    Args:
        name: the key that names the folder.
        needed: bytes.
    """
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding("error", name, f"{path} cannot be written: {error.strerror}. Name another folder: {name}=...")
    text = f"{path}, {free / 2**30:.1f} GiB free"
    if free < needed:
        return Finding("warning", name, f"{text}, expected {needed / 2**30:.1f}. Make room, or name another folder: {name}=...")
    return Finding("ok", name, text)


def tracking(uri: str | None, mounts: Mapping[str, str]) -> Finding:
    """Whether records can be uploaded to the store.

    Args:
        mounts: the types of file systems by where they are mounted.
    """
    address = store.address(uri)
    try:
        away = store.check(address)
    except InputError as error:
        return Finding("error", "tracking", str(error))
    if away:
        return Finding("warning", "tracking", f"{away}. Runs go on without it; `python -m pipelines.sync` uploads them later.")
    path = store.database(address)
    if path and (kind := _filesystem(path.absolute(), mounts)) in REMOTE:
        return Finding(
            "error",
            "tracking",
            f"{path} lies on {kind}, where SQLite's locks do not hold between machines. Start a server (mlflow server ...), "
            "and name it by tracking.uri=http://... or MLFLOW_TRACKING_URI.",
        )
    return Finding("ok", "tracking", address)


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


def collectives() -> Iterator[Finding]:
    """Whether two processes of this machine can compute together, and one for each GPU where there are several."""
    import torch

    yield _collective("gloo", 2)
    if torch.cuda.device_count() > 1:
        yield _collective("nccl", torch.cuda.device_count())


def _collective(backend: str, count: int) -> Finding:
    from src.launch import collective_check  # it imports torch

    reason = collective_check.failure(backend, count)
    if reason is None:
        return Finding("ok", backend, f"{count} processes added their numbers up")
    name = {"gloo": "GLOO_SOCKET_IFNAME", "nccl": "NCCL_SOCKET_IFNAME"}[backend]
    remedy = f"Look at the firewall and at {name}, which names the network interface; trainer=default needs no other process."
    return Finding("error", backend, f"{count} processes cannot compute together: {reason}. {remedy}")


def _filesystem(path: Path, mounts: Mapping[str, str]) -> str:
    """The type of the file system that a path lies on."""
    for parent in (path, *path.parents):
        if str(parent) in mounts:
            return mounts[str(parent)]
    return ""


def _mounts() -> dict[str, str]:
    import psutil

    return {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
