"""What makes two runs the same run: fingerprints of configuration, data and code. Pure functions."""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).resolve().parents[2]

# Keys of the resolved configuration that decide what training yields. Everything else is place or presentation.
TRAINING = (
    "data",
    "augmentation",
    "model",
    "pretrained",
    "task",
    "objective",
    "optimizer",
    "scheduler",
    "averaging",
    "divergence",
    "trainer",
    "callbacks",
    "seed",
)
# Those that decide what is found of a trained run: its evaluation, and what else is looked at then.
ANALYSES = ("explanation", "robustness")
EVALUATION = ("evaluation", *ANALYSES)
PRESENTATION = (
    "data.dataset",  # the content of the prepared data stands in its place
    "data.root",
    "pretrained.weights",  # their content stands in their place
    "trainer.in_memory_gib",
    "trainer.progress_bar",
    "trainer.log_every_n_steps",
    "trainer.profiler",
    "trainer.save_every_n_minutes",
    "trainer.save_every_n_steps",
    "trainer.strategy.timeout",
)


def digest(value: Any) -> str:
    """SHA-256 of a plain container, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def training_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that decides what training yields."""

    def keep(node: Any, prefix: str) -> Any:
        if not isinstance(node, Mapping):
            return node
        return {key: keep(value, f"{prefix}{key}.") for key, value in node.items() if f"{prefix}{key}" not in PRESENTATION}

    part = {key: keep(config.get(key), f"{key}.") for key in TRAINING}
    if not (config.get("pretrained") or {}).get("weights"):
        del part["pretrained"]  # all weights are fresh, as where nothing is said of them
    return part


def run_id(config: Mapping[str, Any], data: str, *, start: str | None = None) -> str:
    """The identity of a run, eight hexadecimal digits.

    Args:
        config: resolved, as a plain container.
        data: the content hash that the card of the prepared data states.
        start: the name of the run whose last checkpoint this one starts from.
    """
    part = training_part(config)
    content = {"config": part, "data": data, "code": code(targets(part), verb="train")}
    return digest({**content, "start": start} if start else content)[:8]


def targets(node: Any) -> list[str]:
    """Every `_target_` in a configuration, sorted."""
    if isinstance(node, Mapping):
        own = [node["_target_"]] if isinstance(node.get("_target_"), str) else []
        return sorted({*own, *(target for value in node.values() for target in targets(value))})
    if isinstance(node, list | tuple):
        return sorted({target for value in node for target in targets(value)})
    return []


def code(names: Iterable[str], *, verb: str | None = None) -> str:
    """SHA-256 over the syntax trees, without docstrings, of what the targets import in this repository.

    Args:
        names: dotted paths of classes or functions; those of installed libraries do not count, the
            record states their versions.
        verb: a module of src whose own tree counts too, and assembly's with it, but not their imports.
    """
    modules = {_module(name) for name in names} - {None}
    closure = {found for module in modules if module for found in _closure(module)}
    own = {"src." + verb, "src.config.assembly"} if verb else set()
    return digest({module: tree(module) for module in closure | own})


def _module(name: str) -> str | None:
    """The module of this repository that holds a dotted path, None for a library's."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            return ".".join(parts[:end])
    return None


@cache
def _graph(package: str) -> grimp.ImportGraph:
    return grimp.build_graph(package, cache_dir=None, exclude_type_checking_imports=True)


@cache
def _closure(module: str) -> frozenset[str]:
    """The module and everything of this repository that it imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name.partition(".")[0] == "src":
            found |= _graph("src").find_upstream_modules(name)
        else:  # outside src (a user's or a test's own module): its imports are read from its text
            waiting += filter(None, map(_module, _imports(name)))
    return frozenset(found)


def _imports(module: str) -> Iterator[str]:
    """The dotted paths that a module's text imports."""
    path = _path(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _path(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if (base / "__init__.py").is_file() else base.with_suffix(".py")


@cache
def tree(module: str) -> str:
    """A module's syntax tree without docstrings, as text."""
    tree = ast.parse(_path(module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return ast.dump(tree)


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a plain container as (dotted key, value); an empty container is a leaf."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flat(value, f"{prefix}{key}.")
    else:
        yield prefix.rstrip("."), node
