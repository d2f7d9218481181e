"""A copy of the repository, as a fresh clone would be, for tests that edit it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.forkserver import ROOT, Popen

Stream = int | IO[str] | None
UPLOADER = {"UPLOADER_IDLE": "5", "UPLOADER_COLD": "0"}  # it leaves soon, and does not spare the processors


def environment(**extra: str) -> dict[str, str]:
    """The environment of a user's shell with .venv activated, and no store but the folder's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DATA_CACHE", "PYTHONPATH"))}
    return {**UPLOADER, **kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **extra}


def clone(folder: Path) -> Path:
    """The files that git tracks or would track, committed in a repository of their own."""
    names = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.splitlines()
    for name in names:
        if name != "dvc.lock" and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    commit(folder, first=True)
    return folder


def commit(folder: Path, *, first: bool = False) -> None:
    if first:
        run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qm", "state")


def run(folder: Path, *command: str, code: int = 0, fresh: bool = False, **extra: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in the folder as a user would, and expects its exit code.

    Args:
        fresh: see `start`.
    """
    process = start(folder, *command, fresh=fresh, **extra)
    with process:
        output, errors = process.communicate()
    assert process.returncode == code, f"{command} ended with {process.returncode}:\n{output}\n{errors}"
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def start(
    folder: Path,
    *command: str,
    fresh: bool = False,
    stdin: Stream = None,
    stdout: Stream = subprocess.PIPE,
    stderr: Stream = subprocess.PIPE,
    new_session: bool = False,
    **extra: str,
) -> subprocess.Popen[str]:
    """A command in the folder, in the background.

    Args:
        fresh: whether it must be an interpreter that imports everything itself. Otherwise one that runs a module of this
            checkout, which PYTHONPATH then names, is forked (see `tests.forkserver`).
        new_session: whether it leads a session and a process group of its own.
        extra: variables of its environment.
    """
    kind = subprocess.Popen if fresh else Popen
    return kind(
        command,
        cwd=folder,
        env=environment(**extra),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=new_session,
    )


def repro(folder: Path, *arguments: str) -> set[str]:
    """Runs `dvc repro` and gives the stages that really ran."""
    done = run(folder, "dvc", "repro", *arguments)
    return set(re.findall(r"^Running stage '(.+)':", done.stdout, re.MULTILINE))
