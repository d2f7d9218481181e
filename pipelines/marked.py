"""Text that a program keeps up to date in a file that people write, between `<!-- name -->` and `<!-- end of name -->`."""

from pathlib import Path

from src.errors import InputError
from src.runs.files import write_atomic


def replace(path: Path, name: str, text: str) -> None:
    """Puts a text between the two marks."""
    before, _, after = _parts(path, name)
    start, end = _marks(name)
    write_atomic(path, f"{before}{start}\n\n{text}\n\n{end}{after}".encode())


def read(path: Path, name: str) -> str:
    """The text between the two marks."""
    return _parts(path, name)[1].strip()


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    start, end = _marks(name)
    before, found, rest = path.read_text().partition(start)
    inside, closed, after = rest.partition(end)
    if not (found and closed):
        raise InputError(f"{path}: expected the marks {start} and {end}, one after the other; add them.")
    return before, inside, after


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- end of {name} -->"
