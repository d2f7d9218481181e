"""Which files of this repository a class or a function is computed by: its module and all that it imports here."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[2]


def closure(names: Iterable[str]) -> set[str]:
    """The modules of this repository that dotted paths of classes or functions import, directly or not, and their own.

    Installed libraries do not count; the record states their versions.
    """
    return {imported for name in names if (module := _module(name)) for imported in _closure(module)}


def path(module: str) -> Path:
    """The file of a module of this repository."""
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if (base / "__init__.py").is_file() else base.with_suffix(".py")


def _module(name: str) -> str | None:
    """The module of this repository that holds a dotted path, None for a library's."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        if path(module).is_file():
            return module
    return None


@cache
def _graph(package: str) -> grimp.ImportGraph:
    return grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=True)


@cache
def _closure(module: str) -> frozenset[str]:
    modules: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        modules.add(name)
        if name.partition(".")[0] == "src":
            modules |= _graph("src").find_upstream_modules(name)
        else:  # outside src (a user's or a test's own module): its imports are read from its text
            waiting += filter(None, map(_module, _imports(name)))
    return frozenset(modules)


def _imports(module: str) -> Iterator[str]:
    """The dotted paths that a module's text imports."""
    package = module if path(module).name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path(module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)
