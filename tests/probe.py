"""A command for tests of how commands are started: it prints what it finds itself to be, or does what its argument names."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np


def report() -> dict:
    main = sys.modules["__main__"]
    return {
        "main": [__name__, main.__spec__.name if main.__spec__ else None],
        "argv": sys.argv[1:],
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "folder": os.getcwd(),
        "path": sys.path[:2],
        "environment": dict(os.environ),
        "random": [random.random(), np.random.random()],  # noqa: NPY002 - the one that libraries use
        "files": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "torch": "torch" in sys.modules,
    }


def write_line(line: str) -> None:
    """Prints a line in one piece, for another process may print too."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "report"
    if what == "report":
        write_line(json.dumps(report()))
    elif what == "read":
        print(sys.stdin.read().upper(), end="")
    elif what == "sleep":
        write_line("asleep")
        time.sleep(600)
    elif what == "leave":
        sys.exit(int(sys.argv[2]))
    elif what == "fail":
        raise ValueError("on purpose")
    elif what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "start":  # another one, and where that stands when this one has ended
        child = subprocess.Popen([sys.executable, "-m", "tests.probe", *sys.argv[2:]], stdout=sys.stdout)
        write_line(json.dumps({"child": child.pid}))
        sys.exit(child.wait() if sys.argv[2] == "report" else 0)
