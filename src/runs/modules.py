"""Which file a module's code is in, or which installed package has it. Nothing is imported to know it."""

import importlib.metadata
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from src.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
OWN = ("src", "pipelines")  # packages of this repository, wherever else Python would find one of that name
PACKAGES = {"site-packages", "dist-packages"}
STANDARD = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True)
class Module:
    """A module whose code counts by its content: of this repository, or of a folder of the user's own.

    Args:
        name: dotted.
        path: of its file; None for a folder without an `__init__.py`, which has no code.
        locations: the folders of its submodules, where it is a package.
    """

    name: str
    path: Path | None
    locations: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Its path from the folder that it is imported from, which does not tell where that folder lies."""
        assert self.path is not None
        parts = self.name.split(".")
        return "/".join([*(parts if self.path.stem == "__init__" else parts[:-1]), self.path.name])


def modules(name: str) -> list[Module]:
    """The modules that an import of a dotted path runs, less those without code; none where it is a library's.

    The last is the one that holds what the path names. Whether it really does is not looked at. Of this repository's own
    packages it is the only one, because their `__init__.py` compute nothing.
    """
    found: list[Module] = []
    for part in name.split("."):
        parent = found[-1] if found else None
        module = _module(f"{parent.name}.{part}" if parent else part, parent.locations if parent else None)
        if module is None:
            break
        found.append(module)
    return [module for module in found[-1 if name.partition(".")[0] in OWN else 0 :] if module.path is not None]


def module(name: str) -> Module:
    """A module that exists, and whose code counts by its content."""
    return modules(name)[-1]


def package(name: str) -> Sequence[tuple[str, str]]:
    """The installed packages, each with its version, that a dotted path lies in; none where its code counts by its content.

    A build's own label (`+cpu`) is no part of the version.

    Raises:
        InputError: there is no such module, neither installed nor elsewhere.
    """
    top = name.partition(".")[0]
    if top in OWN or top in sys.stdlib_module_names:
        return ()
    spec = _spec(top, None)
    if spec is None:
        raise InputError(
            f"_target_: expected the dotted path of a class or function; received {name}, but there is no module {top}. "
            "Correct the name, install the package that it belongs to, or add the folder that has it to PYTHONPATH."
        )
    return _distributions(top) if _is_installed(spec) else ()


@cache
def _module(name: str, locations: tuple[str, ...] | None) -> Module | None:
    """A module whose code counts by its content, below a package with these locations; None where there is no such module."""
    if locations is None and name in OWN:
        locations, spec = (str(ROOT),), _spec(name, (str(ROOT),))
    elif locations is None and name in sys.stdlib_module_names:
        return None
    else:
        spec = _spec(name, locations)
    if spec is None or (locations is None and _is_installed(spec) and _distributions(name)):
        return None
    path = Path(spec.origin) if spec.origin else None
    return Module(name, path if path is not None and path.is_file() else None, tuple(spec.submodule_search_locations or ()))


def _spec(name: str, locations: Sequence[str] | None) -> ModuleSpec | None:
    """As Python would find the module: in a folder, or by the finders of packages that are installed as links to theirs."""
    folders = PathFinder.find_spec(name, locations)
    others = (finder.find_spec(name, locations) for finder in sys.meta_path if finder is not PathFinder)
    return folders or next(filter(None, others), None)  # src.compat's own finder imports torch where it is asked


def _is_installed(spec: ModuleSpec) -> bool:
    """Whether it lies where packages are installed. One that is installed as a link to its folder (`-e`) does not."""
    places = [*filter(None, [spec.origin]), *(spec.submodule_search_locations or ())]
    return any(PACKAGES & {*Path(place).parts} for place in places)


@cache
def _distributions(top: str) -> Sequence[tuple[str, str]]:
    """The installed packages that have a top-level module. None has a file that was put among them by hand."""
    try:
        found = [importlib.metadata.distribution(top)]
    except importlib.metadata.PackageNotFoundError:  # its name is another, as scikit-learn is that of sklearn
        found = [one for one in importlib.metadata.distributions() if _has(one, top)]
    return tuple(sorted({(one.name, one.version.partition("+")[0]) for one in found}))


def _has(distribution: importlib.metadata.Distribution, top: str) -> bool:
    files = f"\n{distribution.read_text('RECORD') or ''}"
    return f"\n{top}/" in files or f"\n{top}." in files
