"""A run as a job of SLURM: its batch script, its submission, and the environment of its processes."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src import signals
from src.distributed import rendezvous
from src.errors import InputError, InUse
from src.launch import jobs
from src.launch.cluster import Cluster
from src.launch.submission import Submission
from src.runs import locks
from src.runs.folder import Run
from src.value_types import Count, Whole

BODY = Path(__file__).with_name("job.sh")
RESERVED = (  # options that the script sets, from the configuration or so that the run can continue
    "job-name", "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "gpus-per-task", "mem", "partition",
    "time", "signal", "requeue", "no-requeue", "open-mode", "output", "error", "chdir", "array", "wrap", "parsable", "wait",
    "export",
)  # fmt: skip
VARIABLES = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "NODE_RANK": "SLURM_NODEID", "WORLD_SIZE": "SLURM_NTASKS"}


@dataclass(frozen=True, kw_only=True)
class Slurm(Cluster):
    """Submits runs as jobs. Its arguments are the keys of conf/cluster/slurm.yaml, which explains them."""

    nodes: Count
    processes_per_node: Count
    cpus_per_process: Count | None = None
    gpus_per_node: Whole | None = None
    memory: str | None = None
    partition: str | None = None
    time: str | int | None = None
    warning: Count = 120
    max_requeues: Whole = 20
    wait: bool = False
    options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in self.options or ():
            if name in RESERVED or name.startswith("-"):
                raise ValueError(
                    f"options.{name}: expected a long option of sbatch without its dashes, and none that the script sets."
                )

    def check(self) -> None:
        if shutil.which("sbatch") is None:
            raise InputError(
                "cluster=slurm: expected SLURM's sbatch on the PATH; there is none. Submit on a login node of the cluster, or "
                "leave cluster=slurm out to train the run here."
            )

    def submit(self, run: Run, config: DictConfig, *, test: bool, timeout: float = locks.TIMEOUT) -> None:
        """Also follows the job where `wait` is set.

        Raises:
            JobFailed: the job that was followed ended without finishing the run.
        """
        submission = Submission(run)
        if not self._is_submitted(submission):
            with run.lock(timeout=timeout):
                if not self._is_submitted(submission):
                    self._submit(submission, config, test)
        if self.wait:
            jobs.follow(submission)

    def script(self, folder: Path, *, name: str) -> str:
        """The batch script, which `sbatch` takes by itself too.

        Args:
            folder: of the run.
            name: of the job.
        """
        options: dict[str, Any] = {
            "job-name": name,
            "nodes": self.nodes,
            "ntasks-per-node": self.processes_per_node,
            "cpus-per-task": self.cpus_per_process,
            "gpus-per-node": self.gpus_per_node,
            "mem": self.memory,
            "partition": self.partition,
            "time": self.time,
            "requeue": True,
            "signal": f"USR1@{self.warning}",
            "open-mode": "append",
            "output": str(folder / "job.log").replace("%", "%%"),
            **(self.options or {}),
        }
        lines = ["#!/bin/bash"]
        for key, value in options.items():
            if value is not None and value is not False:
                lines.append(f"#SBATCH --{key}" + ("" if value is True else f"={_quoted(str(value))}"))
        code = Submission(Run(folder)).code
        per_process = f"--cpus-per-task={self.cpus_per_process}" if self.cpus_per_process else ""
        lines += [
            "",
            f"folder={shlex.quote(str(folder))}",
            f"python={shlex.quote(sys.executable)}",
            f"max_requeues={self.max_requeues}",
            f"per_process=({per_process})",
            f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
            "# The frozen code comes before the working folder's, which may have changed since.",
            f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1",
            *([f"export OMP_NUM_THREADS={self.cpus_per_process}"] if self.cpus_per_process else []),
            "",
        ]
        return "\n".join(lines) + BODY.read_text()

    def _is_submitted(self, submission: Submission) -> bool:
        """Whether there is a job for the run already.

        Raises:
            InUse: there is one, and it is not waited for.
        """
        job = submission.job.get("id", "")
        if not job or (state := jobs.state(job)) is None:
            return False
        if not self.wait:
            raise InUse(f"{submission.run.folder} is the run of job {job}, which is {state}. {jobs.hints(submission, job)}")
        print(f"job {job} trains {submission.run.folder} already.")
        return True

    def _submit(self, submission: Submission, config: DictConfig, test: bool) -> None:
        folder = submission.run.folder
        submission.freeze(config, test=test)
        script = submission.folder / "job.sh"
        script.write_text(self.script(folder.resolve(), name=folder.name))
        with signals.ignored():  # a job that nobody knows of would be submitted twice
            done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                job = done.stdout.strip().partition(";")[0]
                submission.record_job(job)
        if done.returncode:
            shutil.rmtree(submission.folder)
            reason = "; ".join(line.removeprefix("sbatch: error: ") for line in done.stderr.strip().splitlines())
            raise InputError(f"cluster=slurm: sbatch refuses the job: {reason}. `sinfo` shows partitions and nodes.")
        total = self.nodes * self.processes_per_node
        print(f"job {job}: {folder}, {self.nodes} nodes, {total} processes. {jobs.hints(submission, job)}")


def torch_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which torch knows which process this one is, from those of srun; the script sets the address."""
    return {name: environment[theirs] for name, theirs in VARIABLES.items()} | {rendezvous.AGENT_STORE: "False"}


def _quoted(value: str) -> str:
    """A value for a line of #SBATCH, which knows quotes and no variables."""
    return shlex.quote(value).replace("\n", " ")
