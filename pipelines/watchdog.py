"""Ends a stage whose pipeline was killed."""

import os
import signal
import threading
import time

import psutil

MARK = "DVC_STAGE"  # in the environment of whatever dvc runs


def watch() -> None:
    """Sends this process a SIGTERM when the dvc that started it is gone. Does nothing where a user started it.

    DVC marks the environment of its stages, not its own. Between dvc and this process there may be a shell, which lives on.
    """
    first, parent = psutil.Process(), psutil.Process().parent()
    if MARK not in os.environ or parent is None:
        return
    while MARK in _environment(parent) and (above := parent.parent()):
        first, parent = parent, above
    dvc = parent.pid

    def wait() -> None:
        while first.is_running() and first.ppid() == dvc:  # an orphan has another parent
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
