"""What every verb's command line shares: Hydra's flags, messages instead of tracebacks, exit codes.

0 done, 1 failed, 2 wrong input, 3 in use elsewhere, 75 preempted by SIGTERM or SIGUSR1, 130 interrupted by SIGINT. After the
last two the same command continues. 75 is EX_TEMPFAIL of sysexits.h, "try again later", which tells a scheduler to requeue; the
shell's 143 could also mean that a signal killed the process before it saved anything.
"""

import errno
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src import signals
from src.config import by_hydra, checks, composition, resuming, run_folders, sources, trust, usage
from src.config.defects import origin
from src.errors import InputError, Stop
from src.runs.masking import mask

PREEMPTED = 75
READER_LEFT = 128 + signal.SIGPIPE  # as a shell reports a program that a pipe without a reader ends, `| head`
FULL = {errno.ENOSPC: "is full", errno.EDQUOT: "has no quota left", errno.EROFS: "is read-only"}


def main(verb: Callable[[DictConfig], object], arguments: Sequence[str] | None = None, *, group: str | None = None) -> None:
    """Composes the configuration from the command line, calls the verb, and exits with its code.

    Args:
        group: whose keys are the verb's own.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)

    def work() -> None:
        environment()
        if usage.flags(arguments):
            by_flags(verb, arguments, group=group)
        else:
            verb(configure(arguments))

    sys.exit(guard(work))


def call(verb: Callable[[Sequence[str]], object], arguments: Sequence[str]) -> int:
    """Calls a verb that reads its own arguments; gives the exit code. --help prints what its module says of it."""
    return guard(lambda: print(usage.of_module(verb)) if usage.wanted(arguments) else verb(arguments))


def guard(work: Callable[[], object]) -> int:
    """Runs the work, prints the message for its user where it ends early, and gives the exit code."""
    try:
        with signals.interrupting(), trust.command():
            work()
            sys.stdout.flush()
    except Stop as stop:
        print(f"error: {mask(str(stop))}", file=sys.stderr)
        return stop.code
    except signals.Preempted as preempted:
        print(f"preempted by {preempted}; the same command continues.", file=sys.stderr)
        return PREEMPTED
    except KeyboardInterrupt:
        print("interrupted; the same command continues.", file=sys.stderr)
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            return READER_LEFT
        if error.errno not in FULL and not isinstance(error, PermissionError):
            raise
        reason = FULL.get(error.errno or 0, "cannot be written")
        where = error.filename or _full(Path.cwd(), Path(tempfile.gettempdir()))
        print(f"error: expected a disk with room and permission to write at {where}; it {reason}. ", end="", file=sys.stderr)
        folders = "paths.runs=..., paths.prepared=... or paths.downloads=..."
        print(f"Make room there, or name another folder ({folders}); the same command then continues.", file=sys.stderr)
        return 1
    except Exception as defect:
        print(origin(defect), file=sys.stderr)
        print(mask(traceback.format_exc()), end="", file=sys.stderr)
        return 1
    return 0


def _full(*folders: Path) -> Path:
    """The folder on a disk without room, for an error that names none; the first one where all have room."""
    return next((folder for folder in folders if shutil.disk_usage(folder).free == 0), folders[0])


def configure(arguments: Sequence[str]) -> DictConfig:
    """The configuration for a command line of overrides, or of a run to be trained further and overrides."""
    with trust.command(new=False):
        return _configure(arguments)


def _configure(arguments: Sequence[str]) -> DictConfig:
    extra, overrides = _split(arguments)
    trust.add(extra)
    for override in overrides:
        if override.startswith("trust="):
            trust.grant(override.partition("=")[2])
    overrides = [override for override in overrides if not override.startswith("trust=")]
    folders = [override.partition("=")[2].strip("'\"") for override in overrides if override.startswith("resume=")]
    if folders and folders[-1] not in ("", "null"):
        cluster = [override for override in overrides if override.lstrip("+~").startswith(("cluster=", "cluster."))]
        run = run_folders.resumed(folders[-1], overrides, extra=extra)
        config = resuming.resumed(run, [override for override in overrides if override not in cluster])
        if cluster:  # no run's configuration states one
            config.cluster = composition.compose(cluster, extra=extra).cluster
        return run_folders.resolved(config)
    config = run_folders.resolved(composition.compose(overrides, extra=extra))
    if not config.get("tuned"):
        return config
    return composition.tune(config, [override.get_key_element().lstrip("+~") for override in composition.parse(overrides)])


def choices(arguments: Sequence[str]) -> dict[str, Any]:
    """The option of each group that a command line chooses, its experiment included."""
    extra, overrides = _split(arguments)
    return composition.choices(overrides, extra=extra)


def keywords(arguments: Sequence[str], **defaults: str | None) -> dict[str, str]:
    """The arguments key=value of a verb that reads its configuration from a run.

    Args:
        defaults: every key; the command line must state one whose default is None.
    """
    values = dict(defaults)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in defaults:
            if not defaults:
                raise InputError(f"{argument}: expected no argument. Leave it out.")
            expected = ", ".join(f"{name}=..." for name in defaults)
            raise InputError(f"{argument}: expected {expected}; {checks.nearest(key, list(defaults))}.")
        values[key] = value
    missing = [key for key, value in values.items() if value is None]
    if missing:
        raise InputError(f"expected {missing[0]}=...; received no such argument. Add it.")
    return {key: value for key, value in values.items() if value is not None}


def table(rows: Mapping[str, object], title: str = "") -> str:
    """A short table of names and values for a terminal."""
    width = max(map(len, rows), default=0)
    lines = [title] if title else []
    for name, value in rows.items():
        shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        lines.append(f"  {name:<{width}}  {shown}")
    return "\n".join(lines)


def environment() -> None:
    """Reads .env, and keeps every tool from phoning home.

    Raises:
        InputError: .env is no text in UTF-8.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    if Path(".env").is_file():
        from dotenv import load_dotenv

        try:
            load_dotenv(".env")
        except UnicodeDecodeError as error:
            raise InputError(f"{sources.defect(error, Path('.env'))} Save the file in UTF-8.") from error


def by_flags(verb: Callable[[DictConfig], object], arguments: Sequence[str], *, group: str | None = None) -> None:
    """Help; by Hydra --cfg, shell completion and grids. Each job of a grid is checked like a single run.

    Args:
        group: whose keys are the verb's own.
    """
    if "install=bash" in arguments:
        print((Path(__file__).parent / "completion.bash").read_text())
        return
    extra, rest = _split(arguments)
    overrides = [argument for argument in rest if argument.startswith("~") or ("=" in argument and argument[0] != "-")]
    if usage.wanted(arguments):
        own = [f"+{group}=default"] if group and not any(one.startswith(f"+{group}=") for one in overrides) else []
        print(usage.of_configuration(verb, composition.compose([*own, *overrides], extra=extra), group))
        return

    def job(overrides: list[str]) -> object:
        results: list[object] = []
        if code := guard(lambda: results.append(verb(configure(overrides)))):
            sys.exit(code)
        return results[0]

    by_hydra.run(job, arguments, overrides, extra=extra)


def _split(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Splits arguments into further folders of configuration groups, which must exist, and overrides."""
    extra, overrides, rest = [], [], iter(arguments)
    for argument in rest:
        if argument.startswith("--config-dir"):
            if not (value := argument.partition("=")[2] or next(rest, "")):
                raise InputError(
                    "--config-dir: expected a folder of configuration groups; received none. Write --config-dir=DIR."
                )
            extra.append(Path(value))
        else:
            overrides.append(argument)
    missing = [str(path) for path in extra if not path.is_dir()]
    if missing:
        raise InputError(f"--config-dir: expected a folder of configuration groups; there is no {', '.join(missing)}.")
    return extra, overrides


def _reader_left() -> bool:
    """Whether nobody reads the output any more. What is left of it then goes nowhere, so that Python ends in silence."""
    output = select.poll()
    output.register(sys.stdout, 0)
    if not any(state & (select.POLLERR | select.POLLHUP) for _, state in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
