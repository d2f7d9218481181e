"""In whose code an error arose: what a traceback through many libraries does not show at once."""

import sysconfig
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STANDARD = Path(sysconfig.get_path("stdlib"))
PACKAGES = {"site-packages", "dist-packages"}


def origin(error: BaseException) -> str:
    """One line that names the place in the user's code, in this repository's or in a library's where an error arose.

    It is the innermost place outside libraries, because a library that is called wrongly is not at fault. The verbs and the
    assembly call what the configuration names: what fails right below them is that library's own.
    """
    frames = [(Path(frame.filename), frame.lineno, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((Path(error.filename), error.lineno, "<module>"))
    outside = [frame for frame in frames if not _library(frame[0])]
    path, line, name = outside[-1] if outside and not _calls(outside[-1][0]) else frames[-1]
    ours = any(path.is_relative_to(ROOT / folder) for folder in ("src", "pipelines"))
    owner = "a library" if _library(path) else "this repository" if ours else "your code"
    return f"error in {owner}: {_shown(path)}:{line} in {name}"


def _library(path: Path) -> bool:
    return bool(PACKAGES & {*path.parts}) or path.is_relative_to(STANDARD) or not path.is_file()


def _calls(path: Path) -> bool:
    """Whether a file only calls the code of others: a verb, or what makes their objects."""
    return path.parent in (ROOT / "src", ROOT / "src" / "config")


def _shown(path: Path) -> str:
    """A path from the working folder, from the repository, or from the folder of the installed packages."""
    packages = [parent for parent in path.parents if parent.name in PACKAGES]
    for folder in (*packages, Path.cwd(), ROOT):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)
