"""What a command prints for --help: what its module says of it, and the keys that it takes."""

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import checks
from src.errors import InputError

HELP = ("-h", "--help")
HYDRA = ("-c", "--cfg", "-r", "--resolve", "-p", "--package", "-i", "--info", "--hydra-help", "-sc", "--shell-completion")
GRID = ("-m", "--multirun")
CODES = "Exit codes: 0 done, 1 failed, 2 wrong input, 3 in use elsewhere, 75 preempted, 130 interrupted."


def wanted(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return not {*HELP}.isdisjoint(arguments)


def flags(arguments: Sequence[str], *, grid: bool = True) -> list[str]:
    """The flags of a command line, without --config-dir.

    Args:
        grid: whether the command takes those of a grid.

    Raises:
        InputError: the command has no such flag. Hydra itself would take `--experiment` for a flag that begins like it.
    """
    known = (*HELP, *HYDRA, *(GRID if grid else ()))
    found = [argument for argument in arguments if argument.startswith("-") and not argument.startswith("--config-dir")]
    for argument in found:
        flag = argument.partition("=")[0]
        if flag in known or flag[:2] in ("-c", "-p", "-i"):  # -cjob is -c job
            continue
        name = flag.lstrip("-")
        group = name.partition(".")[0].partition("/")[0]
        added = "+" if group in (*checks.ADDED, *checks.EXTRA) else ""
        hint = f"Write {added}{name}=... " if (checks.CONF / group).is_dir() or "=" in argument else ""
        raise InputError(f"{argument}: expected key=value or a flag, one of {', '.join(known)}, --config-dir. {hint}".rstrip())
    return found


def of_module(verb: Callable[..., Any]) -> str:
    """What the module of a verb says of it."""
    return f"{_description(verb)}\n\n{CODES}"


def of_configuration(verb: Callable[..., Any], config: DictConfig, group: str | None) -> str:
    """That, the options of every group, and every key with its value in the configuration.

    Args:
        group: whose keys are the verb's own, and stand first, as its default file explains them.
    """
    config = config.copy()
    parts = [_description(verb)]
    if group:
        config.pop(group)
        own = (checks.CONF / group / "default.yaml").read_text().rstrip()
        parts.append(f"== Keys of this command, with their defaults (change one by {group}.key=value) ==\n{own}")
    added = " and ".join([", ".join([*checks.ADDED, *checks.EXTRA][:-1]), checks.EXTRA[-1]])
    parts.append("\n".join([f"== What can be chosen (group=option; {added} with a + in front) ==", *_groups()]))
    parts.append(f"== Every key, with its value (change it by key=value) ==\n{OmegaConf.to_yaml(config).rstrip()}")
    return "\n\n".join([*parts, CODES])


def _description(verb: Callable[..., Any]) -> str:
    return inspect.cleandoc(sys.modules[verb.__module__].__doc__ or "").replace("`", "")


def _groups() -> Iterator[str]:
    for folder in sorted(path for path in checks.CONF.rglob("*") if path.is_dir() and path.name != "local"):
        name = folder.relative_to(checks.CONF).as_posix()
        if options := checks.options(name):
            yield textwrap.fill(f"{name}: {', '.join(options)}", width=128, subsequent_indent="    ", break_on_hyphens=False)
