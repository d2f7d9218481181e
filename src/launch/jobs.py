"""A job of SLURM from outside: its state, its log, and how it ended."""

import subprocess
import sys
import time
from pathlib import Path

from src.errors import RunFailed, Stop
from src.launch.submission import Submission

POLL = 3.0  # seconds between questions to the controller, which answers everybody's


class JobFailed(Stop):
    """A job has ended without finishing its run; its exit code is the command's."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


def state(job: str) -> str | None:
    """SLURM's word for the state of a job that waits, runs or is about to end; None of one that is over.

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
    job, printed, asked = submission.job["id"], submission.job["before"], 0.0
    alive: str | None = "submitted"
    try:
        while alive:
            if time.monotonic() - asked > POLL:
                asked = time.monotonic()
                try:
                    alive = state(job)
                except RunFailed as away:  # the job goes on without its controller
                    print(away, file=sys.stderr)
            printed = _print(submission.log, printed)
            time.sleep(0.2)
    except KeyboardInterrupt:
        print(f"job {job} goes on. {hints(submission, job)} The same command follows it again.", file=sys.stderr)
        raise
    _print(submission.log, printed)
    ended = submission.exit.read_text().split() if submission.exit.is_file() else []
    if ended[:1] != [job]:
        raise JobFailed(f"job {job} ended without an exit code of its own ({_end(job)}). The same command submits it again.", 1)
    if code := int(ended[1]):
        raise JobFailed(f"job {job} ended with code {code}; its log is {submission.log}.", code)


def hints(submission: Submission, job: str) -> str:
    """How a user watches a job and ends it."""
    return f"Watch it: tail -F {submission.log}. End it: scancel {job}."


def _print(log: Path, printed: int) -> int:
    """Prints what a file has gained beyond so many bytes; gives how many there are now."""
    if not log.is_file():
        return printed
    with open(log, "rb") as file:
        file.seek(printed)
        text = file.read()
    sys.stdout.write(text.decode(errors="replace"))
    sys.stdout.flush()
    return printed + len(text)


def _end(job: str) -> str:
    """What SLURM still knows of a job that is over."""
    done = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True, check=False)
    facts = dict(word.partition("=")[::2] for word in done.stdout.split())
    return f"{facts.get('JobState', 'forgotten')}, {facts.get('Reason', 'no reason')}"
