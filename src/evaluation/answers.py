"""Tables of answers, written as they come: to a file, which appears when it is whole, or to the standard output."""

import base64
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from src.errors import InputError
from src.runs.files import atomic

SUFFIXES = (".parquet", ".csv", ".jsonl")


def check(path: Path) -> None:
    """Refuses a file of answers of an unknown format, before anything is predicted."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"output={path}: expected a file {', '.join(SUFFIXES)}; received another ending. Choose one of them.")
    if path.is_dir():
        raise InputError(f"output={path}: expected a file; there is a folder of this name. Choose another name.")


class Writer(ABC):
    """Takes tables of answers.

    Attributes:
        rows: that were written.
    """

    def __init__(self) -> None:
        self.rows = 0

    def write(self, table: pd.DataFrame) -> None:
        """Writes the next rows."""
        self._write(table)
        self.rows += len(table)

    @abstractmethod
    def _write(self, table: pd.DataFrame) -> None: ...


@contextmanager
def writer(path: Path | None, *, single: bool) -> Iterator[Writer]:
    """A writer of the format that the ending of a file says; without a file, to the standard output.

    Args:
        single: whether there is one answer, which is printed as names and values.
    """
    with ExitStack() as stack:
        if path is None:
            yield _Lines() if single else _Csv(sys.stdout)
            return
        temporary, suffix = stack.enter_context(atomic(path)), path.suffix.lower()
        if suffix == ".parquet":
            own: Writer = _Parquet(temporary, stack)
        else:
            file = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            own = _Csv(file) if suffix == ".csv" else _JsonLines(file)
        yield own
        if not own.rows:
            own.write(pd.DataFrame({"example": pd.Series(dtype=str)}))


class _Parquet(Writer):
    def __init__(self, path: Path, stack: ExitStack):
        super().__init__()
        self._path, self._stack = path, stack
        self._file: pq.ParquetWriter | None = None

    def _write(self, table: pd.DataFrame) -> None:
        content = pa.Table.from_pandas(table, preserve_index=False)
        if self._file is None:
            self._file = self._stack.enter_context(pq.ParquetWriter(self._path, content.schema))
        self._file.write_table(content)


class _Csv(Writer):
    def __init__(self, file: TextIO):
        super().__init__()
        self._file = file

    def _write(self, table: pd.DataFrame) -> None:
        table.map(_plain).to_csv(self._file, index=False, header=not self.rows)


class _JsonLines(Writer):
    def __init__(self, file: TextIO):
        super().__init__()
        self._file = file

    def _write(self, table: pd.DataFrame) -> None:
        for row in table.map(_plain).to_dict(orient="records"):
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


class _Lines(Writer):
    """Names and values of each answer, for people."""

    def _write(self, table: pd.DataFrame) -> None:
        width = max(map(len, table.columns))
        for _, row in table.map(_plain).iterrows():
            for name, value in row.items():
                shown = f"{value:.4f}" if isinstance(value, float) else str(value)
                print(f"{name!s:<{width}}  {shown if len(shown) <= 200 else f'{shown[:200]} ...'}")


def _plain(value: object) -> object:
    """A value as text formats hold it: bytes in base64, arrays as lists."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
