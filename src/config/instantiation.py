"""From a node of the configuration to the object that it describes. In src the only caller of Hydra's instantiate.

Wrong settings are the user's: a name that does not exist, a setting that a class does not take, a value that a constructor
refuses by a ValueError, a file that it cannot open. Whatever else a constructor raises is a defect of its code and keeps its
traceback.
"""

import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from src.config.checks import nearest
from src.config.schema import HYDRA
from src.errors import InputError, Stop
from src.value_types import mismatch

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
KEYWORD = re.compile(r"unexpected keyword argument '(\w+)'")


def make(node: Mapping[str, Any], where: str, kind: type = object, /, **live: Any) -> Any:
    """The object that a node describes.

    Args:
        where: the key of the node, which messages name.
        kind: the class that the object's own must derive from.
        live: objects that no configuration can hold, by the names of the arguments that take them.

    Raises:
        InputError: the settings are wrong, or the class is.
    """
    for key, inner in _nodes(node, where):
        _check(inner, key, live if inner is node else {})
    try:
        maker = instantiate(node, _partial_=True)
        instance = maker if node.get("_partial_") else maker(**live)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if (message := _refusal(node, where, cause)) is not None:
            raise InputError(message) from error
        raise cause from cause.__cause__
    except (TypeError, ValueError, OSError) as error:
        if (message := _refusal(node, where, error)) is not None:
            raise InputError(message) from error
        raise
    if not isinstance(instance, kind):
        raise InputError(
            f"{where}._target_: expected a class that derives from {kind.__module__}.{kind.__name__}; "
            f"{type(instance).__name__} does not. Derive it from that class."
        )
    return instance


def _nodes(node: object, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node with a `_target_` in a node, itself included, and its key."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield where, node
        for key, inner in node.items():
            yield from _nodes(inner, f"{where}.{key}")
    elif isinstance(node, list | tuple):
        for number, inner in enumerate(node):
            yield from _nodes(inner, f"{where}.{number}")


def _check(node: Mapping[str, Any], where: str, live: Mapping[str, object]) -> None:
    """Refuses a class that does not exist, and settings that do not fit its signature, or our own annotations."""
    target = node["_target_"]
    constructor = located(target, where)
    parameters = _parameters(constructor)
    if parameters is None:
        return
    names = [name for name, one in parameters.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        for name in (*node, *live):
            if name not in names and name not in HYDRA:
                raise InputError(_unknown_setting(target, f"{where}.{name}", names))
    if target.startswith("src."):
        for name, hint in _annotations(constructor).items():
            value = node.get(name, ...)
            if name in node and not _describes(value) and (expected := mismatch(value, hint)) is not None:
                shown = "null" if value is None else value
                raise InputError(f"{where}.{name}: expected {expected}; received {shown}. Correct it.")
    needed = [name for name in names if parameters[name].default is inspect.Parameter.empty]
    missing = [name for name in needed if name not in node and name not in live]
    if missing and not node.get("_partial_") and "_args_" not in node:
        raise InputError(
            f"{where}: expected {', '.join(missing)}, because {target} has no default for it; received nothing. State it: "
            f"+{where}.{missing[0]}=..."
        )


def _refusal(node: Mapping[str, Any], where: str, error: BaseException) -> str | None:
    """The message for a constructor that refuses what the configuration says; None for a defect, or a message of its own."""
    if isinstance(error, Stop):
        return None
    if isinstance(error, ValueError | OSError | InstantiationException):
        return f"{where}: {node['_target_']} refuses its settings: {str(error).strip()}"
    keyword = KEYWORD.search(str(error)) if isinstance(error, TypeError) else None
    if keyword is not None:  # a function that passes further settings on, to another one that does not take them
        for key, inner in _nodes(node, where):
            if keyword[1] in inner and keyword[1] not in (_parameters(located(inner["_target_"], key)) or ()):
                return _unknown_setting(inner["_target_"], f"{key}.{keyword[1]}", [])
    return None


def _unknown_setting(target: str, key: str, names: list[str]) -> str:
    name = key.rpartition(".")[2]
    hint = f" ({nearest(name, names)})" if names else ""
    return f"{key}: expected a setting of {target}; received {name}, which it does not take{hint}. Leave it out: ~{key}."


def _parameters(target: Callable[..., object]) -> Mapping[str, inspect.Parameter] | None:
    """The parameters of a class or function by name; None where it shows none, as some that are written in C."""
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None


def _annotations(target: Callable[..., object]) -> Mapping[str, Any]:
    """The types of a callable's arguments, less those that cannot be evaluated, as names that only a type checker imports."""
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    function = inspect.unwrap(getattr(function, "__func__", function))
    names = getattr(function, "__globals__", {})
    types = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        try:
            types[name] = eval(hint, names) if isinstance(hint, str) else hint
        except NameError:
            continue
    return types


def _describes(value: object) -> bool:
    """Whether a value is the description of an object, or a list of some, which are checked by themselves."""
    if isinstance(value, list | tuple):
        return any(_describes(one) for one in value)
    return isinstance(value, Mapping) and "_target_" in value


def located(target: object, where: str) -> Any:
    """The class or function of a dotted path.

    Raises:
        InputError: there is none. What a module raises while it is imported passes through.
    """
    if not isinstance(target, str) or not target:
        raise InputError(
            f"{where}._target_: expected the path of a class, such as package.module.Class; received {target or 'none'}."
        )
    names = target.split(".")
    value: Any = None
    for end in range(1, len(names) + 1):
        name = ".".join(names[:end])
        if value is not None and hasattr(value, names[end - 1]):
            value = getattr(value, names[end - 1])
            continue
        try:
            value = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):  # a module that this one imports
                raise
            close = difflib.get_close_matches(names[end - 1], dir(value) if value is not None else [], n=3)
            hint = f"Nearest: {', '.join(close)}" if close else _remedy(names[0])
            raise InputError(
                f"{where}._target_: expected the dotted path of a class or function; received {target}, but there is no "
                f"{name}. {hint}."
            ) from None
    return value


def _remedy(package: str) -> str:
    """What to do about a package that cannot be imported: how it is installed, where this project has it as an extra."""
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"] if PROJECT.is_file() else {}
    for extra, requirements in extras.items():
        if any(re.match(rf"{re.escape(package)}\b", one) for one in requirements) and extra != "dev":
            return f"Install it: uv pip install -r pyproject.toml --extra {extra} -c constraints.txt"
    return "Correct the name, or install what it belongs to"
