"""Generated text in a file that people write, between `<!-- name -->` and `<!-- end of name -->`."""

from pathlib import Path

from src.errors import InputError
from src.runs.files import write_atomic


def replace(path: Path, name: str, text: str) -> None:
    """Puts a text between the two comments of a name.

    Raises:
        InputError: the file lacks one of them.
    """
    before, _, after = _split(path, name)
    start, end = _comments(name)
    write_atomic(path, f"{before}{start}\n\n{text}\n\n{end}{after}".encode())


def read(path: Path, name: str) -> str:
    """The text between the two comments of a name.

    Raises:
        InputError: the file lacks one of them.
    """
    return _split(path, name)[1].strip()


def _split(path: Path, name: str) -> tuple[str, str, str]:
    start, end = _comments(name)
    before, opened, rest = path.read_text().partition(start)
    inside, closed, after = rest.partition(end)
    if not (opened and closed):
        raise InputError(f"{path}: expected the comments {start} and {end}, one after the other; add them.")
    return before, inside, after


def _comments(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- end of {name} -->"
