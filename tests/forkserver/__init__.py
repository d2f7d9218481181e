"""Commands that start quickly: forked from a process that has imported what commands import.

`Popen` is `subprocess.Popen`, and what it starts is a real process: a child of the one that asks for it, with arguments,
environment, folder and streams of its own. It runs a module as `python -m` does and ends as an interpreter does. Only the
imports were done before. A command starts further ones in the same way, for it has a fork server of its own.

There are two kinds of servers. One has imported this checkout. The other has imported the libraries alone: for commands in a
copy of the repository, whose own code they import, and for dvc and what its stages run there.

A command is a fresh interpreter all the same where a variable differs that imports read. A test of what imports do asks
`subprocess.Popen` for one.
"""

import ctypes
import fcntl
import inspect
import json
import multiprocessing.util
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("src", "pipelines", "tests")
CHECKOUT, LIBRARIES = "checkout", "libraries"  # what a server has imported
TORCHRUN = "torch.distributed.run"
SHELLS = ("bash", "sh")
READ_BY_IMPORTS = ("CUDA_", "LANG", "LC_", "LD_", "MKL_", "MPL", "OMP_", "OPENBLAS_", "PYTHON", "TZ")
ROOM = 32_768  # bytes for the environment that other processes see; they see 4,096 bytes of arguments
FIRST_OWN_FILE = 200  # the number of the first file that a command does not know
PR_SET_CHILD_SUBREAPER = 36
STREAMS = ("p2cread", "c2pwrite", "errwrite")  # as subprocess calls the child's ends of its pipes

_real = subprocess.Popen
_ambient = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}  # before a test changes it
_real_spawn = multiprocessing.util.spawnv_passfds
_signature = inspect.signature(_real._execute_child)
_lock = threading.Lock()
_servers: "dict[str, Server]" = {}
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
        if self.words[0] == "dvc":
            return "dvc"
        return self.words[2] if self.words[1] == "-m" else None

    @property
    def arguments(self) -> list[str]:
        """`sys.argv` of what it runs."""
        return list(self.words) if self.words[0] == "dvc" else [self.words[1], *self.words[3:]]

    @property
    def path(self) -> list[str]:
        """Where its modules are looked for first."""
        return [self.folder, *filter(None, self.environment.get("PYTHONPATH", "").split(os.pathsep))]

    def server(self) -> str | None:
        """The kind of server that has imported what it would import; None where there is none."""
        if sys.platform != "linux" or _read_by_imports(self.environment) != _read_by_imports(_ambient):
            return None
        checkouts = [entry for entry in self.path if any(Path(entry, package).exists() for package in PACKAGES)]
        if not checkouts or not self._is_known():
            return None
        return CHECKOUT if checkouts[0] == str(ROOT) and self.module != "dvc" else LIBRARIES

    def _is_known(self) -> bool:
        if self.words[0] == "dvc":
            return True
        if len(self.words) < 3 or self.words[0] not in ("python", sys.executable):
            return False
        if self.module is None:
            return self.words[-1].startswith("from multiprocessing.forkserver import main")
        return self.module == TORCHRUN or self.module.partition(".")[0] in PACKAGES


class Popen(_real):
    """`subprocess.Popen`, which forks the commands of this checkout and of its copies."""

    def _execute_child(self, *arguments: Any) -> None:  # where Python 3.11 to 3.13 start the process
        settings = _signature.bind(self, *arguments).arguments
        asked = _request(settings)
        if asked is None:
            super()._execute_child(*arguments)
            return
        kind, request = asked
        streams = [*(settings[name] for name in STREAMS), *settings["pass_fds"]]
        self.pid = _fork(
            kind, request, [own if stream == -1 else stream for own, stream in zip(request.files, streams, strict=True)]
        )
        self._child_created = True
        self._close_pipe_fds(
            *(settings[name] for name in _signature.parameters if name in (*STREAMS, "p2cwrite", "c2pread", "errread"))
        )


class Server:
    """A process's own fork server, seen from there.

    Args:
        requests: its socket.
        process: where it was started and not forked.
    """

    def __init__(self, requests: socket.socket, process: subprocess.Popen[bytes] | None = None):
        self.owner = os.getpid()  # what is forked from that has no server
        self.process = process
        self._requests = requests

    @classmethod
    def start(cls, kind: str) -> Self:
        ours, theirs = pair()
        environment = {**_ambient, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", "ROOM": "-" * ROOM}
        command = [sys.executable, "-m", "tests.forkserver", kind, str(theirs.fileno()), "-" * 4096]
        null, file = subprocess.DEVNULL, theirs.fileno()
        with theirs:
            return cls(ours, _real(command, cwd=ROOT, env=environment, stdin=null, stdout=null, pass_fds=[file]))

    @property
    def lives(self) -> bool:
        """Whether its end of the socket is open; it sends nothing."""
        with suppress(BlockingIOError):
            return bool(self._requests.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        return True

    def fork(self, message: bytes, files: Sequence[int]) -> int:
        """The pid of a new command.

        Raises:
            OSError: the server has died.
        """
        ours, theirs = pair()
        with ours:
            with theirs:
                socket.send_fds(self._requests, [message], [*files, theirs.fileno()])
            pid = ours.recv(16)
            with _adopting():
                ours.send(b"end")
                if not pid or not ours.recv(16):
                    raise BrokenPipeError(
                        "expected a command from the fork server, which has died; its standard error says why"
                    )
        return int(pid)

    def close(self) -> None:
        self._requests.close()
        if self.process:
            self.process.wait()


def become_command(kind: str, requests: socket.socket) -> None:
    """Has this process be a command, whose own fork server reads from a socket."""
    global _is_command
    _servers.clear()
    _servers[kind], _is_command = Server(requests), True


def started() -> list[int]:
    """The pids of the fork servers that this process has started."""
    return [server.process.pid for server in _servers.values() if server.process]


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection, with numbers that no command asks for."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return socket.socket(fileno=moved(one.detach())), socket.socket(fileno=moved(other.detach()))


def moved(file: int) -> int:
    """An open file under a number that no command asks for."""
    number = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, FIRST_OWN_FILE)
    os.close(file)
    return number


def spawn(path: str | bytes, words: Sequence[str | bytes], files: Sequence[int]) -> int:
    """The pid of a process that multiprocessing starts."""
    if path == sys.executable.encode() or path == sys.executable:
        request = Request([*map(os.fsdecode, words)], dict(os.environ), os.getcwd(), mortal=False, files=[0, 1, 2, *files])
        if _serves(kind := request.server()):
            return _fork(kind, request, request.files)
    return _real_spawn(path, words, files)


def _request(settings: Mapping[str, Any]) -> tuple[str | None, Request] | None:
    """The kind of server and the request for the arguments of `Popen`; None if they cannot be forked."""
    plain = {"executable": None, "preexec_fn": None, "shell": False, "uid": None, "gid": None, "gids": None}
    if isinstance(settings["args"], str) or any(settings[name] != value for name, value in plain.items()):
        return None
    request = Request(
        words=_without_shell([os.fspath(word) for word in settings["args"]]),
        folder=os.path.abspath(settings["cwd"] or "."),
        environment=dict(os.environ if settings["env"] is None else settings["env"]),
        new_session=settings["start_new_session"],
        process_group=settings["process_group"],
        mortal=not _is_command,
        files=[0, 1, 2, *settings["pass_fds"]],
    )
    kind = request.server()
    return (kind, request) if _serves(kind) else None


def _without_shell(words: Sequence[str]) -> Sequence[str]:
    """The words of a command that a shell would only split, as dvc has its stages run."""
    if Path(words[0]).name not in SHELLS or words[-2:-1] != ["-c"] or set(words[-1]) & set("|&;<>()$`\\*?[#~=%\n"):
        return words
    return shlex.split(words[-1])


def _serves(kind: str | None) -> bool:
    """Whether this process has such a server, or may start one: a command may not, nor what multiprocessing forks from it."""
    if kind is None or not _is_command:
        return kind is not None
    return kind in _servers and _servers[kind].owner == os.getpid() and _servers[kind].lives


def _read_by_imports(environment: Mapping[str, str]) -> dict[str, str]:
    variables = {name: value for name, value in environment.items() if name.startswith(READ_BY_IMPORTS)}
    variables.pop("PYTHONPATH", None)
    return variables


def _fork(kind: str, request: Request, files: Sequence[int]) -> int:
    """Lets this process's server fork a command with open files. Returns its pid."""
    message = json.dumps(asdict(request)).encode()
    with _lock:
        if kind not in _servers or _servers[kind].owner != os.getpid():
            _servers[kind] = Server.start(kind)
        try:
            return _servers[kind].fork(message, files)
        except OSError:
            if _is_command:
                raise
            _servers[kind].close()  # it has been killed
            _servers[kind] = Server.start(kind)
            return _servers[kind].fork(message, files)


@contextmanager
def _adopting() -> Iterator[None]:
    """The kernel makes orphans below this process its children, as it else makes them those of the system's first process."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)
