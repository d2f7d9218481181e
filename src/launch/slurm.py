"""A run as a job of SLURM: submitted once, watched, and the place of each of its processes."""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src import signals
from src.distributed import rendezvous
from src.errors import InputError, InUse, RunFailed, Stop
from src.launch.submission import Submission
from src.runs import locks
from src.runs.folder import Run

BODY = Path(__file__).with_name("job.sh")
LOOK = 3.0  # seconds between questions to the controller, which answers everybody's
OWN = (  # options that the script sets, by what the configuration says or so that the run can go on
    "job-name", "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "gpus-per-task", "mem", "partition",
    "time", "signal", "requeue", "no-requeue", "open-mode", "output", "error", "chdir", "array", "wrap", "parsable", "wait",
    "export",
)  # fmt: skip
PLACE = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "NODE_RANK": "SLURM_NODEID", "WORLD_SIZE": "SLURM_NTASKS"}


class JobFailed(Stop):
    """A job came to another end than a finished run; its code is the command's."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """What conf/cluster/slurm.yaml states of a job."""

    nodes: int
    processes_per_node: int
    cpus_per_process: int | None = None
    gpus_per_node: int | None = None
    memory: str | None = None
    partition: str | None = None
    time: str | int | None = None
    warning: int = 120
    max_requeues: int = 20
    wait: bool = False
    options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("processes_per_node", 1), ("cpus_per_process", 1), ("gpus_per_node", 0)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise ValueError(f"{name}: expected a number from {least}; received {value}")
        for name, least in (("warning", 1), ("max_requeues", 0)):
            if type(value := getattr(self, name)) is not int or value < least:
                raise ValueError(f"{name}: expected a number from {least}; received {value}")
        for name in self.options or ():
            if name in OWN or name.startswith("-"):
                raise ValueError(
                    f"options.{name}: expected a long option of sbatch without its dashes, and none that the job's script sets"
                )

    def check(self) -> None:
        """Refuses a machine from which no job can be submitted."""
        if shutil.which("sbatch") is None:
            raise InputError(
                "cluster=slurm: expected SLURM's sbatch on the PATH; there is none. Submit on a login node of the cluster, or "
                "leave cluster=slurm out: the run is then trained here."
            )

    def submit(self, run: Run, config: DictConfig, *, test: bool, patience: float = locks.PATIENCE) -> None:
        """Has a job train the run, unless one does already.

        Args:
            config: complete.
            patience: seconds to wait for another command that holds the run.

        Raises:
            InUse: a job has the run, and it is not waited for.
            JobFailed: it is waited for, and came to another end than a finished run.
        """
        submission = Submission(run)
        if not self._taken(submission):
            with run.lock(patience=patience):
                if not self._taken(submission):
                    self._submit(submission, config, test)
        if self.wait:
            follow(submission)

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

    def _taken(self, submission: Submission) -> bool:
        """Whether a job has the run already.

        Raises:
            InUse: one has, and it is not waited for.
        """
        job = submission.job.get("id", "")
        if not job or (found := state(job)) is None:
            return False
        if not self.wait:
            raise InUse(f"{submission.run.folder} is the run of job {job}, which is {found}. {_hints(submission, job)}")
        print(f"job {job} has {submission.run.folder} already.")
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
                submission.given(job)
        if done.returncode:
            shutil.rmtree(submission.folder)
            reason = "; ".join(line.removeprefix("sbatch: error: ") for line in done.stderr.strip().splitlines())
            raise InputError(f"cluster=slurm: sbatch refuses the job: {reason}. `sinfo` shows partitions and nodes.")
        total = self.nodes * self.processes_per_node
        print(f"job {job}: {folder}, {self.nodes} nodes, {total} processes. {_hints(submission, job)}")


def place(environment: Mapping[str, str]) -> dict[str, str]:
    """The place of a process that srun has started, as torch reads it; the job's script states where they meet."""
    return {name: environment[theirs] for name, theirs in PLACE.items()} | {rendezvous.AGENT: "False"}


def state(job: str) -> str | None:
    """What SLURM says of a job that waits, runs or is about to end; None of one that is over.

    Raises:
        RunFailed: the controller does not answer.
    """
    done = subprocess.run(["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, check=False)
    if done.returncode and "Invalid job id" not in done.stderr:
        raise RunFailed(f"expected SLURM's answer about job {job}; received: {done.stderr.strip()}. Try again.")
    return done.stdout.strip() or None


def follow(submission: Submission) -> None:
    """Prints the log of the run's job as it grows, until the job is over.

    Raises:
        JobFailed: the run is not finished.
    """
    job, shown, looked = submission.job["id"], submission.job["before"], 0.0
    alive: str | None = "submitted"
    try:
        while alive:
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                try:
                    alive = state(job)
                except RunFailed as away:  # the job goes on without its controller
                    print(away, file=sys.stderr)
            shown = _print(submission.log, shown)
            time.sleep(0.2)
    except KeyboardInterrupt:
        print(f"job {job} goes on. {_hints(submission, job)} The same command follows it again.", file=sys.stderr)
        raise
    _print(submission.log, shown)
    left = submission.exit.read_text().split() if submission.exit.is_file() else []
    if left[:1] != [job]:
        raise JobFailed(f"job {job} is over, without a word of its own ({_end(job)}). The same command submits it again.", 1)
    if code := int(left[1]):
        raise JobFailed(f"job {job} ended with code {code}; its log is {submission.log}.", code)


def _print(log: Path, shown: int) -> int:
    """Prints what a file has gained beyond so many bytes; gives how many there are now."""
    if not log.is_file():
        return shown
    with open(log, "rb") as file:
        file.seek(shown)
        text = file.read()
    sys.stdout.write(text.decode(errors="replace"))
    sys.stdout.flush()
    return shown + len(text)


def _end(job: str) -> str:
    """What SLURM still knows of a job that is over."""
    done = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True, check=False)
    found = dict(word.partition("=")[::2] for word in done.stdout.split())
    return f"{found.get('JobState', 'forgotten')}, {found.get('Reason', 'no reason')}"


def _hints(submission: Submission, job: str) -> str:
    return f"Watch it: tail -F {submission.log}. End it: scancel {job}."


def _quoted(value: str) -> str:
    """For a line of #SBATCH, which knows quotes and no variables."""
    return shlex.quote(value).replace("\n", " ")
