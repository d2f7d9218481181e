"""Which files a class or a function is computed by: its module and all that it imports, less what is installed."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES
from importlib.util import resolve_name

import grimp

from src.runs import modules
from src.runs.modules import Module


def closure(names: Iterable[str]) -> set[str]:
    """The modules that dotted paths of classes or functions import, directly or not, and their own.

    They are of this repository, or of a folder of the user's own. Installed libraries do not count.
    """
    return {imported for name in names for module in modules.modules(name) for imported in _closure(module)}


@cache
def _graph(package: str) -> grimp.ImportGraph:
    return grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=True)


@cache
def _closure(module: Module) -> frozenset[str]:
    names: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if one.name in names:
            continue
        names.add(one.name)
        if one.name.partition(".")[0] == "src":
            names |= _graph("src").find_upstream_modules(one.name)
        else:  # outside src (the user's own, or a test's): its imports are read from its text
            waiting += [imported for name in _imports(one) for imported in modules.modules(name)]
    return frozenset(names)


def _imports(module: Module) -> Iterator[str]:
    """The dotted paths that a module's text imports. An extension in machine code has no text."""
    assert module.path is not None
    if module.path.suffix not in SOURCE_SUFFIXES:
        return
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in ast.walk(ast.parse(module.path.read_bytes(), str(module.path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)
