"""The table of predictions of a split."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from src.experiment import Experiment
from src.runs.files import atomic

PIECE = 16_384  # rows of the table that are written at once


def predictions(experiment: Experiment, split: str, folder: Path | None = None) -> pd.DataFrame:
    """Predicts a split with the weights that the learner holds; one row an example.

    Its `index` is the row of the store, or the number of a whole image. Its `example` is the name that the source gave it,
    such as its file, where it gave one.

    Args:
        folder: gets predictions.parquet, which is written while the predictions are computed.
    """
    tables = _tables(experiment, experiment.data.rows(split))
    if folder is None:
        table = pa.concat_tables(tables)
    else:
        _stream(tables, folder / "predictions.parquet")
        table = pq.read_table(folder / "predictions.parquet")
    return table.to_pandas(split_blocks=True, self_destruct=True)


def _tables(experiment: Experiment, rows: np.ndarray) -> Iterator[pa.Table]:
    """The table in pieces, each of several batches."""
    chunks: list[pa.Table] = []
    batches = experiment.learner.predict(experiment.data, rows)
    for index, outputs, target in experiment.data.assemble(rows, batches):
        names = experiment.data.names(index)
        own = {"index": index} if names is None else {"index": index, "example": names}
        assert target is not None, "examples of a split have targets"
        chunks.append(pa.table({**own, **experiment.evaluation.columns(outputs, target)}))
        if sum(map(len, chunks)) >= PIECE:
            yield pa.concat_tables(chunks).combine_chunks()
            chunks.clear()
    if chunks:
        yield pa.concat_tables(chunks).combine_chunks()


def _stream(tables: Iterator[pa.Table], path: Path) -> None:
    """Writes each piece as soon as it is there; the file appears when it is whole."""
    first = next(tables)
    with atomic(path) as temporary, pq.ParquetWriter(temporary, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
