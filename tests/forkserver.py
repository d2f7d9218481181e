"""Commands that start in a moment: forked from a process that has imported what commands import.

`Popen` is `subprocess.Popen`, and what it starts is a real process: a child of the one that asks for it, with arguments,
environment, folder and streams of its own. It runs a module as `python -m` does and ends as an interpreter does. Only the
imports were made before. A command starts further ones in the same way, for it has a fork server of its own.

A command is a fresh interpreter all the same where it would import another checkout's code, or where a variable differs that
imports read. A test of what imports do asks `subprocess.Popen` for one.
"""

import ctypes
import fcntl
import gc
import importlib
import inspect
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("src", "pipelines", "tests")
TORCHRUN = "torch.distributed.run"
LATE = (  # functions import them
    *("captum.attr", "kornia.augmentation", "matplotlib.pyplot", "mlflow.pytorch", "mlflow.sklearn", "skops.io", TORCHRUN),
    *("alembic.autogenerate", "alembic.command", "mlflow.store.tracking.sqlalchemy_store", "sqlalchemy.dialects.sqlite"),
)
NOT_BEFORE = ("src.tracking.mlflow_upload",)  # its import changes the environment
READ_BY_IMPORTS = ("CUDA_", "LANG", "LC_", "LD_", "MKL_", "MPL", "OMP_", "OPENBLAS_", "PYTHON", "TZ")
LEAVING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
ROOM = 32_768  # bytes for the environment that other processes see; they see 4,096 bytes of arguments
LIMIT, MOST_FILES = 200_000, 32  # bytes of a request, and the files that come with it
FIRST_OWN_FILE = 200  # the number of the first file that a command does not know
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STREAMS = ("p2cread", "c2pwrite", "errwrite")  # as subprocess calls the child's ends of its pipes

_real = subprocess.Popen
_ambient = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}  # before a test changes it
_real_spawn = multiprocessing.util.spawnv_passfds
_signature = inspect.signature(_real._execute_child)
_lock = threading.Lock()
_server: socket.socket | None = None
_owner = 0  # the process whose server it is: what multiprocessing forks from that has none
_is_command = False


@dataclass(frozen=True)
class Request:
    """A command that is to be forked.

    Args:
        words: of its command line.
        files: the numbers that it knows its open files by.
        new_session, process_group: as for `subprocess.Popen`.
        mortal: whether it is killed where its parent ends.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    mortal: bool
    files: Sequence[int] = (0, 1, 2)
    new_session: bool = False
    process_group: int = -1

    @property
    def module(self) -> str | None:
        """The module that it runs; None for the fork server of multiprocessing, which is code on the command line."""
        return self.words[2] if self.words[1] == "-m" else None

    @property
    def path(self) -> list[str]:
        """Where its modules are looked for first."""
        return [self.folder, *filter(None, self.environment.get("PYTHONPATH", "").split(os.pathsep))]

    def can_be_forked(self) -> bool:
        """Whether it would import what a fork server has imported."""
        if sys.platform != "linux" or len(self.words) < 3 or self.words[0] not in ("python", sys.executable):
            return False
        if self.module is None:
            known = self.words[-1].startswith("from multiprocessing.forkserver import main")
        else:
            known = self.module == TORCHRUN or self.module.partition(".")[0] in PACKAGES
        if not known:
            return False
        checkouts = [place for place in self.path if any(Path(place, package).exists() for package in PACKAGES)]
        return checkouts[:1] == [str(ROOT)] and _read_by_imports(self.environment) == _read_by_imports(_ambient)


class Popen(_real):
    """`subprocess.Popen`, which forks the commands of this checkout."""

    def _execute_child(self, *arguments: Any) -> None:  # where Python 3.11 to 3.13 start the process
        settings = _signature.bind(self, *arguments).arguments
        request = _request(settings)
        if request is None:
            super()._execute_child(*arguments)
            return
        streams = [settings[name] for name in STREAMS]
        self.pid = _fork(request, [own if stream == -1 else stream for own, stream in zip(request.files, streams, strict=True)])
        self._child_created = True
        self._close_pipe_fds(
            *(settings[name] for name in _signature.parameters if name in (*STREAMS, "p2cwrite", "c2pread", "errread"))
        )


def main(control: socket.socket) -> None:
    """Serves requests in a process, and runs the command in each that is forked from it."""
    global _server, _owner, _is_command
    subprocess.Popen = Popen
    multiprocessing.util.spawnv_passfds = _spawn
    for number in LEAVING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes between a server and its commands
    _show_as([sys.executable, "-m", "tests.forkserver"], {name: value for name, value in os.environ.items() if name != "ROOM"})
    before = dict(os.environ)
    _import()
    changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
    while True:
        request, files, caller = _next(control)
        ours, theirs = _pair()
        if os.fork():
            break
        ours.close()
        caller.close()
        for file in files:
            os.close(file)
        control = theirs  # this is the command's own server
    theirs.close()
    _server, _owner, _is_command = ours, os.getpid(), True
    _become(request, files, changed)
    caller.send(b"begun")
    caller.close()
    if request.module is not None:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
        return
    sys.modules["__main__"] = ModuleType("__main__")
    exec(request.words[-1], vars(sys.modules["__main__"]))


def _spawn(path: str | bytes, words: Sequence[str | bytes], files: Sequence[int]) -> int:
    """How multiprocessing starts a process; its pid."""
    if path == sys.executable.encode() or path == sys.executable:
        request = Request([*map(os.fsdecode, words)], dict(os.environ), os.getcwd(), mortal=False, files=[0, 1, 2, *files])
        if request.can_be_forked() and _serves():
            return _fork(request, request.files)
    return _real_spawn(path, words, files)


def _request(settings: Mapping[str, Any]) -> Request | None:
    """The request for what `Popen` was given; None where that cannot be forked."""
    plain = {"executable": None, "preexec_fn": None, "pass_fds": (), "shell": False, "uid": None, "gid": None, "gids": None}
    if isinstance(settings["args"], str) or any(settings[name] != value for name, value in plain.items()):
        return None
    request = Request(
        words=[os.fspath(word) for word in settings["args"]],
        folder=os.path.abspath(settings["cwd"] or "."),
        environment=dict(os.environ if settings["env"] is None else settings["env"]),
        new_session=settings["start_new_session"],
        process_group=settings["process_group"],
        mortal=not _is_command,
    )
    return request if request.can_be_forked() and _serves() else None


def _serves() -> bool:
    """Whether this process has a fork server, or may start one: what multiprocessing forks from a command may not."""
    return not _is_command or (_owner == os.getpid() and not _ended(_server))


def _read_by_imports(environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in environment.items() if name.startswith(READ_BY_IMPORTS)}
    found.pop("PYTHONPATH", None)
    return found


def _fork(request: Request, files: Sequence[int]) -> int:
    """Has the process's server fork a command that is given open files; its pid."""
    global _server, _owner
    message = json.dumps(asdict(request)).encode()
    with _lock:
        if _server is None or _owner != os.getpid() or _ended(_server):
            _server, _owner = _start(), os.getpid()
        ours, theirs = _pair()
        with ours:
            with theirs:
                socket.send_fds(_server, [message], [*files, theirs.fileno()])
            pid = ours.recv(16)
            assert pid, "the fork server has died; its standard error says why"
            with _adopting():
                ours.send(b"end")
                assert ours.recv(16), "the command has died before it began"
    return int(pid)


def _start() -> socket.socket:
    ours, theirs = _pair()
    environment = {**_ambient, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", "ROOM": "-" * ROOM}
    with theirs:
        command = [sys.executable, "-m", "tests.forkserver", str(theirs.fileno()), "-" * 4096]
        null = subprocess.DEVNULL
        server = _real(command, cwd=ROOT, env=environment, stdin=null, stdout=null, pass_fds=[theirs.fileno()])
    server.returncode = 0  # nobody waits for it: it ends with this process
    return ours


def _next(control: socket.socket) -> tuple[Request, list[int], socket.socket]:
    """Waits for requests, and returns in the process of each command."""
    while True:
        message, files, *_ = socket.recv_fds(control, LIMIT, MOST_FILES)
        if not message:  # the process that this one serves has ended
            os._exit(0)
        caller = socket.socket(fileno=_moved(files.pop()))
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
        return request, [_moved(file) for file in files], caller


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
    sys.path[:] = [*request.path, *(place for place in sys.path if place != str(ROOT))]
    importlib.invalidate_caches()
    sys.argv = [request.words[1], *request.words[3:]]
    sys.orig_argv = list(request.words)
    if not hasattr(sys.modules.get(request.module), "__path__"):
        sys.modules.pop(request.module, None)  # it is run, not imported
    np.random.seed()  # noqa: NPY002 - the one that libraries use; Python's own generator is seeded again by each fork
    tempfile.tempdir = None


def _import() -> None:
    for package in ("src", "pipelines"):
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if not module.name.endswith(".__main__") and module.name not in NOT_BEFORE:
                importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    assert threading.active_count() == 1, f"imports have started threads, of which a fork has none: {threading.enumerate()}"
    gc.collect()
    gc.freeze()  # else each command's collections would copy the memory that it shares with its server


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


@contextmanager
def _adopting() -> Iterator[None]:
    """The kernel makes orphans below this process its children, as it else makes them those of the system's first process."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


def _pair() -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return socket.socket(fileno=_moved(one.detach())), socket.socket(fileno=_moved(other.detach()))


def _moved(file: int) -> int:
    """The open file under a number above those that a command may ask for."""
    number = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, FIRST_OWN_FILE)
    os.close(file)
    return number


def _ended(server: socket.socket) -> bool:
    """Whether the other end is closed: servers send nothing."""
    try:
        return not server.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False


if __name__ == "__main__":
    from tests import forkserver

    forkserver.main(socket.socket(fileno=int(sys.argv[1])))
