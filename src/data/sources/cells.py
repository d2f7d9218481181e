"""Tables as text: .csv, .tsv and .parquet files, with the place of each row for messages."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from src.data.sources.files import check_regular, text
from src.errors import InputError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"


@dataclass(frozen=True)
class Cells:
    """The cells of a table as text, without spaces around it.

    Args:
        where: the table, for messages.
        columns: one text for each row, by the name of the column. An empty one is a cell without a value.
        places: of the rows in the file, for messages: `line 2`.
    """

    where: str
    columns: Mapping[str, Sequence[str]]
    places: Sequence[str]

    def column(self, name: str, *, key: str) -> Sequence[str]:
        """A column by its name.

        Args:
            key: of the configuration, which names it.

        Raises:
            InputError: there is no such column.
        """
        if name not in self.columns:
            names = [*self.columns]
            close = get_close_matches(name, names, n=3)
            known = f"nearest: {', '.join(close)}" if close else f"the table has {', '.join(names)}"
            raise InputError(f"{self.where}: expected a column {name} ({key}); there is none ({known}). Name another one.")
        return self.columns[name]


def read(path: Path, *, where: str) -> Cells:
    """The cells of a table.

    Raises:
        InputError: there is no such table, it is of another format or damaged, or it has no rows.
    """
    suffix = path.suffix.lower()
    if suffix not in (*DELIMITERS, PARQUET):
        raise InputError(f"{where}: expected a table in a file {', '.join((*DELIMITERS, PARQUET))}; received another ending.")
    try:
        check_regular(path)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{where}: expected a table that can be read; received none: {text(str(error))}.") from error
    cells = _parquet(content, where) if suffix == PARQUET else _delimited(content, DELIMITERS[suffix], where)
    if not cells.places:
        raise InputError(f"{where}: expected a table with at least one row below its header; received none.")
    return cells


def _delimited(content: bytes, delimiter: str, where: str) -> Cells:
    rows, places = [], []
    try:
        for place, row in _rows(content.decode("utf-8-sig"), delimiter):
            rows.append([cell.strip() for cell in row])
            places.append(place)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{where}, line {line}: expected text in UTF-8; received other bytes. Save it as UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"{where}: expected a table; received something else: {error}.") from error
    if not rows:
        raise InputError(f"{where}: expected a header with the names of the columns; the file is empty.")
    header, *rows = rows
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"{where}: expected columns with different names; received {repeated[0]!r} twice. Rename one.")
    for place, row in zip(places[1:], rows, strict=True):
        if len(row) != len(header):
            raise InputError(
                f"{where}, {place}: expected {len(header)} cells, as in the header ({', '.join(header)}); received {len(row)}."
            )
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return Cells(where, dict(zip(header, columns, strict=True)), places[1:])


def _rows(content: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """The rows that are not blank, each with the line that it ends in."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    for row in reader:
        if row:
            yield f"line {reader.line_num}", row


def _parquet(content: bytes, where: str) -> Cells:
    import pyarrow as pa  # takes a moment to import, which other tables do not need
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{where}: expected a parquet file; received something else: {str(error).splitlines()[0]}") from error
    columns = {name: [_text(value) for value in table[name].to_pylist()] for name in table.column_names}
    return Cells(where, columns, [f"row {number + 1}" for number in range(table.num_rows)])


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
