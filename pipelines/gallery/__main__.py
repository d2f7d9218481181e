"""The tables of docs/gallery.md: `python -m pipelines.gallery measure NAME` measures a row, `... table` writes the tables."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines import generated_text
from pipelines.gallery import rows
from pipelines.gallery.table import markdown
from src.config import command_line
from src.errors import InputError

PAGE = Path("docs/gallery.md")


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["measure", name]:
            rows.find(name).measure()
        case ["table"]:
            generated_text.replace(PAGE, "gallery", markdown(rows.read()))
        case _:
            raise InputError(f"expected `measure` and the name of a row, or `table`; received {' '.join(arguments)!r}.")


if __name__ == "__main__":
    sys.exit(command_line.call(main, sys.argv[1:]))
