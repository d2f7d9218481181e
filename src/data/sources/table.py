"""A table of images: a column of paths, columns of what is to be predicted, and perhaps one of the splits."""

import hashlib
import os
from functools import cached_property
from pathlib import Path

from src.data.raw import Raw
from src.data.sources import cells, files, image_files, listing
from src.data.sources.cells import Cells
from src.data.sources.decoding import check_channels, check_length
from src.data.sources.image_files import Storage
from src.data.sources.listing import Gives, Listing, check_gives
from src.data.unreadable import leave_out
from src.value_types import Whole


class Columns(listing.Columns):
    """Names of columns.

    Args:
        path: of the images.
    """

    path: str


class Table:
    """A user's own images, which a table lists. They are scaled and cropped as those of a folder.

    Paths must lie below the root, whether they are relative to it or absolute. A table from someone else could name any other
    file of this machine, and the names of the examples would depend on the machine.

    Args:
        table: the file, .csv, .tsv or .parquet.
        root: the folder that the paths begin in; None for that of the table.
        gives: what the columns of the target have: `class`, one column of labels; `labels`, a 0 or 1 in each column; `number`,
            a number in each column.
        storage: `decoded` keeps pixels; `encoded` keeps the files, for collections that are too large to keep decoded.
        max_unreadable: files that cannot be read, up to which they are left out and counted.
    """

    def __init__(
        self,
        *,
        table: str,
        root: str | None = None,
        columns: Columns,
        gives: Gives,
        size: int,
        channels: int,
        storage: Storage = "decoded",
        max_unreadable: Whole = 0,
    ):
        check_channels(channels)
        check_length("size", size)
        check_gives(gives)
        self._table = Path(table)
        self._root = Path(os.path.abspath(self._table.parent if root is None else root))
        self._columns, self._gives = columns, gives
        self._size, self._channels, self._storage = size, channels, storage
        self._max_unreadable = max_unreadable
        self._where = f"data.table={files.text(self._table)}"

    def state(self) -> str:
        paths = self._paths
        self._listing.check()  # a wrong table is refused before anything is prepared
        return f"{hashlib.sha256(self._table.read_bytes()).hexdigest()} {files.state(self._root, paths)}"

    def read(self) -> Raw:
        paths = self._paths
        self._listing.check()
        names = [files.text(name) for name in files.below(self._root, paths)]
        placed = [f"{name} ({place})" for name, place in zip(names, self._cells.places, strict=True)]
        missing = [(name, "there is no such file") for path, name in zip(paths, placed, strict=True) if not path.exists()]
        limit, what = self._max_unreadable, "files cannot be read as images"
        if len(missing) > limit:  # before the others are decoded
            leave_out(missing, count=len(paths), limit=limit, where=self._where, what=what)
        image, kept, digests, notes, reading = image_files.read(
            paths,
            placed,
            size=self._size,
            channels=self._channels,
            storage=self._storage,
            max_unreadable=limit,
            where=self._where,
        )
        return self._listing.raw(
            {"image": image},
            kept,
            origin=files.text(self._table.name),
            names=[names[row] for row in kept],
            digests=digests,
            reading=reading,
            notes=notes,
        )

    @cached_property
    def _cells(self) -> Cells:
        return cells.read(self._table, where=self._where)

    @cached_property
    def _listing(self) -> Listing:
        path = self._columns["path"]
        return Listing(self._cells, self._columns, inputs=[path], gives=self._gives, key="data.columns.target")

    @cached_property
    def _paths(self) -> list[Path]:
        """The files of the rows. Only the text of a path decides whether it lies below the root: links may lead elsewhere."""

        def below(cell: str) -> Path | None:
            path = Path(os.path.normpath(self._root / cell))
            return path if cell and path.is_relative_to(self._root) else None

        expected = f"the path of an image below {files.text(self._root)} (data.root, the folder that all of them lie in)"
        return self._listing.parsed(self._columns["path"], "data.columns.path", below, expected)
