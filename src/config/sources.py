"""The YAML files that a configuration is composed of: which one sets a key, and what is wrong with one that cannot be read."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import InputError

CONF = Path(__file__).resolve().parents[2] / "conf"
GLOBAL = "# @package _global_"
IN_FILE = re.compile(r"In '([^']+/[^']+)': (.+)", re.DOTALL)  # how Hydra begins an error that one file causes
FIRST = ("debug", "experiment", "local")  # whose values win over those of the groups that they choose


def load(path: Path, *, keys: Sequence[str] = (), remedy: str = "Correct it.") -> DictConfig:
    """The content of a YAML file that holds keys.

    Args:
        keys: which it must have; a file that was cut off lacks the last.
        remedy: what to do where the file is missing or wrong.

    Raises:
        InputError: there is no such file, it is no YAML, or it does not hold these keys.
    """
    try:
        content = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise InputError(f"expected the file {path}; there is none. {remedy}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise InputError(f"{defect(error, path)} {remedy}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: expected a file; received a folder. {remedy}") from error
    except OSError as error:  # of OmegaConf, for a file with a single value
        raise InputError(f"{path}: expected keys with values; received a single value. {remedy}") from error
    if not isinstance(content, DictConfig):
        raise InputError(f"{path}: expected keys with values (key: value); received a list. {remedy}")
    check_keys(content, keys, path, remedy=remedy)
    return content


def check_keys(content: DictConfig, keys: Sequence[str], path: Path, *, remedy: str) -> None:
    """Refuses a file that was cut off: it lacks the last of its keys."""
    if missing := [key for key in keys if key not in content]:
        raise InputError(f"{path}: expected a whole file; it has no {', '.join(missing)}. {remedy}")


def defect(error: Exception, path: Path | None = None) -> str:
    """What is wrong with a YAML file, and where, in one line.

    Args:
        path: of the file, where the error does not know it.
    """
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        return f"{shown(path)}, line {line}: expected text in UTF-8; the byte {error.object[error.start]:#04x} is none."
    if isinstance(error, yaml.reader.ReaderError):
        return f"{shown(Path(error.name))}: expected YAML; received a character that it cannot hold, {error.character!r}."
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    name = Path(mark.name) if mark is not None and not str(mark.name).startswith("<") else path
    where = shown(name) + (f", line {mark.line + 1}" if mark is not None else "")
    problem = str(getattr(error, "problem", None) or str(error).partition("\n")[0])
    return f"{where}: expected YAML; received what is none: {problem}."


def refusal(error: Exception, extra: Sequence[Path]) -> str | None:
    """The message for an error of Hydra that a file causes; None where no file does.

    Args:
        extra: further folders of groups.
    """
    if isinstance(error, yaml.YAMLError):
        return f"{defect(error)} Correct it."
    text = str(error) or str(error.__cause__ or "")  # Hydra leaves the text of some errors to their cause
    named = IN_FILE.match(text)
    if named is None and not isinstance(error, UnicodeDecodeError | OSError):
        return None if str(error) else f"expected a configuration that composes; it does not: {_line(text)}."
    folders = (CONF, *extra)
    try:
        for path in (folder / f"{named[1]}.yaml" for folder in folders) if named else _all(folders):
            if path.is_file():
                load(path)
    except InputError as message:
        return str(message)
    if named is None:
        return None
    path = next((one for folder in folders if (one := folder / f"{named[1]}.yaml").is_file()), Path(named[1]))
    return f"{shown(path)}: expected a file that composes; Hydra refuses it: {_line(named[2])} Correct it."


def shown(path: Path | None) -> str:
    """A path as messages name it: one in conf/ from the repository's root."""
    if path is None:
        return "a file"
    return str(path.relative_to(CONF.parent)) if path.is_relative_to(CONF) else str(path)


def source(choices: Mapping[str, Any], extra: Sequence[Path], stated: Sequence[str] = ()) -> Callable[[str], str | None]:
    """Finds the file that sets a key, among those that the choices name.

    Args:
        extra: further folders of groups.
        stated: keys of the command line; a file does not count for them.
    """

    def find(key: str) -> str | None:
        if related(key, stated):
            return None
        for group, path in _files(choices, extra):
            inner = key if _is_global(path) else key.removeprefix(f"{group.replace('/', '.')}.")
            if inner == key and not _is_global(path):
                continue
            if OmegaConf.select(OmegaConf.load(path), inner, default=...) is not ...:
                return shown(path)
        return None

    return find


def related(key: str, others: Sequence[str]) -> bool:
    """Whether a key is one of the others, lies in one, or holds one."""
    return any(key == one or key.startswith(f"{one}.") or one.startswith(f"{key}.") for one in others)


def check_files(choices: Mapping[str, Any], extra: Sequence[Path]) -> None:
    """Refuses a chosen file whose content Hydra drops without a word: one without keys that merges into the top level."""
    for group, path in _files(choices, extra, bases=False):
        if _is_global(path):
            content = load(path)
            if group == "experiment" and not content:
                raise InputError(f"{shown(path)}: expected the keys of an experiment; the file has none. Write them.")


def _files(choices: Mapping[str, Any], extra: Sequence[Path], *, bases: bool = True) -> Iterator[tuple[str, Path]]:
    """The chosen files of each group.

    Args:
        bases: whether also those of the same group that they begin with.
    """
    groups = sorted(choices, key=lambda group: FIRST.index(group) if group in FIRST else len(FIRST))
    for group in groups:
        if not group.startswith("hydra/"):
            for option in str(choices[group] or "").strip("[]").split(","):
                yield from _with_bases(group, option.strip(), extra, bases=bases)


def _with_bases(group: str, option: str, extra: Sequence[Path], *, bases: bool) -> Iterator[tuple[str, Path]]:
    path = next((one for folder in (CONF, *extra) if (one := folder / group / f"{option}.yaml").is_file()), None)
    if path is None:
        return
    yield group, path
    content = OmegaConf.load(path) if bases else None
    for base in (content.get("defaults") or []) if isinstance(content, DictConfig) else []:
        if isinstance(base, str) and base not in ("_self_", option):
            yield from _with_bases(group, base, extra, bases=True)


def _all(folders: Sequence[Path]) -> Iterator[Path]:
    """Every file of conf/ and of further folders, for an error that does not name its file."""
    for folder in folders:
        yield from sorted(folder.rglob("*.yaml"))


def _line(text: str) -> str:
    """A message of several lines in one."""
    return " ".join(text.split())


def _is_global(path: Path) -> bool:
    return any(line.strip() == GLOBAL for line in path.read_text().splitlines()[:10])
