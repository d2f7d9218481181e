"""The process that commands are forked from."""

import ast
import atexit
import ctypes
import gc
import importlib
import json
import multiprocessing.util
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from tests import forkserver
from tests.forkserver import CHECKOUT, PACKAGES, ROOT, TORCHRUN, Request

LAZILY_IMPORTED = (  # functions import them
    *("captum.attr", "kornia.augmentation", "matplotlib.pyplot", "mlflow.models", TORCHRUN),
    *("alembic.autogenerate", "alembic.command", "mlflow.store.tracking.sqlalchemy_store", "sqlalchemy.dialects.sqlite"),
)
LEAVING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
LIMIT, MOST_FILES = 200_000, 32  # bytes of a request, and the files that come with it
PR_SET_PDEATHSIG = 1
OWN: list[ModuleType] = []  # modules of this checkout that help the libraries, kept from the garbage collector


def main(kind: str, control: socket.socket) -> None:
    """Serves requests in a process, and runs the command in each that is forked from it."""
    subprocess.Popen = forkserver.Popen  # before a library imports it
    multiprocessing.util.spawnv_passfds = forkserver.spawn
    for number in LEAVING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes between a server and its commands
    _show_as([sys.executable, "-m", "tests.forkserver"], {name: value for name, value in os.environ.items() if name != "ROOM"})
    before = dict(os.environ)
    _import_checkout() if kind == CHECKOUT else _import_libraries()
    assert threading.active_count() == 1, f"imports have started threads, of which a fork has none: {threading.enumerate()}"
    gc.collect()
    gc.freeze()  # else each command's collections would copy the memory that it shares with its server
    changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    while True:
        request, files, caller = _next(control)
        ours, theirs = forkserver.pair()
        if os.fork():
            break
        ours.close()
        caller.close()
        for file in files:
            os.close(file)
        control = theirs  # this is the command's own server
    theirs.close()
    forkserver.become_command(kind, ours)
    _become(request, files, changed)
    caller.send(b"begun")
    caller.close()
    _end(_run(request))


def _next(control: socket.socket) -> tuple[Request, list[int], socket.socket]:
    """Waits for requests, and returns in the process of each command."""
    while True:
        message, files, *_ = socket.recv_fds(control, LIMIT, MOST_FILES)
        if not message:  # the process that this one serves has ended
            os._exit(0)
        caller = socket.socket(fileno=forkserver.moved(files.pop()))
        if os.fork():
            for file in files:
                os.close(file)
            caller.close()
            continue
        between = os.getpid()
        if pid := os.fork():
            caller.send(str(pid).encode())
            caller.recv(16)
            os._exit(0)  # whereupon the command becomes a child of the process that asked for it
        while os.getppid() == between:
            time.sleep(0.0005)
        control.close()
        request = Request(**json.loads(message))
        if request.new_session:
            os.setsid()
        elif request.process_group != -1:
            os.setpgid(0, request.process_group)
        return request, [forkserver.moved(file) for file in files], caller


def _become(request: Request, files: Sequence[int], changed: Mapping[str, str]) -> None:
    """Makes this process what an interpreter is that has just been started for a command."""
    import numpy as np

    if request.mortal:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (*LEAVING, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in zip(request.files, files, strict=True):
        assert number < 3 or not Path(f"/proc/self/fd/{number}").exists(), f"a library has opened the file {number} already"
        os.dup2(file, number)
        os.close(file)
    os.chdir(request.folder)
    _show_as(request.words, request.environment)
    os.environ.update({name: value for name, value in changed.items() if name not in request.environment})
    sys.path[:] = [*request.path, *(entry for entry in sys.path if entry != str(ROOT))]
    importlib.invalidate_caches()
    sys.argv = request.arguments
    sys.orig_argv = list(request.words)
    if not hasattr(sys.modules.get(request.module), "__path__"):
        sys.modules.pop(request.module, None)  # it is run, not imported
    np.random.seed()  # noqa: NPY002 - the one that libraries use; Python's own generator is seeded again by each fork
    tempfile.tempdir = None


def _run(request: Request) -> int:
    """Runs the command; its exit code."""
    try:
        if request.module is not None:
            runpy.run_module(request.module, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = ModuleType("__main__")
            exec(request.words[-1], vars(sys.modules["__main__"]))
    except SystemExit as end:
        if isinstance(end.code, int | None):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """Ends as an interpreter does, except that it leaves its memory to the system: to free each object would copy it all."""
    threading._shutdown()
    atexit._run_exitfuncs()
    with suppress(OSError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _import_checkout() -> None:
    for name in (*_modules(), *LAZILY_IMPORTED):
        importlib.import_module(name)


def _import_libraries() -> None:
    """What the modules of this checkout import, and none of them."""
    trees = [ast.parse(Path(importlib.util.find_spec(name).origin).read_text()) for name in _modules()]
    lines = [line for tree in trees for line in tree.body]
    names = {alias.name for line in lines if isinstance(line, ast.Import) for alias in line.names}
    names |= {line.module for line in lines if isinstance(line, ast.ImportFrom) and line.module}
    for name in sorted({*names, *LAZILY_IMPORTED, "dvc.cli", "dvc.commands.repro"}):
        if name.partition(".")[0] not in PACKAGES:
            importlib.import_module(name)
    OWN.extend(sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in PACKAGES)


def _modules() -> list[str]:
    """The modules of this checkout, but for those that run when they are imported."""
    found = (pkgutil.walk_packages([str(ROOT / package)], f"{package}.") for package in ("src", "pipelines"))
    return [module.name for modules in found for module in modules if not module.name.endswith(".__main__")]


def _show_as(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Gives the process this environment, and shows it and the arguments to others, which read the memory of its start."""
    os.environ.clear()
    os.environ.update(environment)
    places = [int(field) for field in Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:49]]
    lines = "".join(f"{name}={value}\0" for name, value in environment.items())
    # Where the last byte is no NUL, the arguments are one string of words; else each NUL behind them would be an argument.
    for start, end, text, last in ((*places[:2], " ".join(words), b"."), (*places[2:], lines, b"\0")):
        content = text.encode()[: end - start - 2].ljust(end - start - 1, b"\0")
        ctypes.memmove(start, content + last, end - start)


if __name__ == "__main__":
    main(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
