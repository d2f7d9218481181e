"""Tables as text: .csv, .tsv, .jsonl and .parquet files, with the place of each row for messages."""

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from src.data.sources.files import check_regular, text
from src.errors import InputError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
JSON_LINES = ".jsonl"
SUFFIXES = (*DELIMITERS, JSON_LINES, PARQUET)


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


def read(path: Path, *, where: str, encoding: str | None = None) -> Cells:
    """The cells of a table.

    Args:
        encoding: of its text; None for UTF-8, and for UTF-16 that begins with its mark.

    Raises:
        InputError: there is no such table, it is of another format or damaged, or it has no rows.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{where}: expected a table in a file {', '.join(SUFFIXES)}; received another ending.")
    try:
        check_regular(path)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{where}: expected a table that can be read; received none: {text(str(error))}.") from error
    if suffix == PARQUET:
        cells = _parquet(content, where)
    else:
        content_text = decoded(content, where, encoding)
        cells = _lines(content_text, where) if suffix == JSON_LINES else _delimited(content_text, DELIMITERS[suffix], where)
    if not cells.places:
        raise InputError(f"{where}: expected a table with at least one row below its header; received none.")
    return cells


def decoded(content: bytes, where: str, encoding: str | None) -> str:
    """The text of a file.

    Raises:
        InputError: it has another encoding, or there is no such one.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode(encoding or ("utf-16" if marked else "utf-8-sig"))
    except LookupError as error:
        raise InputError(f"{where}: expected an encoding that Python knows, as latin-1; received {encoding}.") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{where}, line {line}: expected text in {encoding or 'UTF-8'}; received other bytes. Save it as UTF-8, or, of "
            "texts, name its encoding, as data.encoding=latin-1."
        ) from error


def _lines(content: str, where: str) -> Cells:
    """A table of JSON lines: an object with plain values in each."""
    rows, places = [], []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}, line {number}: expected a JSON object; received something else: {error}.") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}, line {number}: expected a JSON object; received {type(row).__name__}.")
        rows.append(row)
        places.append(f"line {number}")
    names = [*dict.fromkeys(name for row in rows for name in row)]
    return Cells(where, {name: [_text(row.get(name)) for row in rows] for name in names}, places)


def _delimited(content: str, delimiter: str, where: str) -> Cells:
    rows, places = [], []
    try:
        for place, row in _rows(content, delimiter):
            rows.append([cell.strip() for cell in row])
            places.append(place)
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
