"""The weights in a program that torch.export has saved (.pt2), read without what could run code.

The file is a zip archive: one file of plain numbers for each storage, and a table in JSON that says which tensor lies where.
`torch.export.load` would unpickle other parts of it.
"""

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TABLE = "data/weights/model_weights_config.json"
STRIDED = 7  # the only layout of plain numbers
# ScalarType of torch/_export/serde/schema.py
TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    10: torch.complex64,
    11: torch.complex128,
    12: torch.bool,
    13: torch.bfloat16,
}


def read(path: Path) -> dict[str, Tensor]:
    """The parameters and buffers by their names in the program.

    Raises:
        ValueError: it is no such file, or its weights are more than plain numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (table,) = [name for name in archive.namelist() if name.endswith(f"/{TABLE}")]
            folder = table.rpartition("/")[0]
            described = json.loads(archive.read(table))["config"]
            return {name: _tensor(archive, folder, one) for name, one in described.items()}
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no program of torch.export ({error!r})") from error


def _tensor(archive: zipfile.ZipFile, folder: str, described: Any) -> Tensor:
    content = archive.read(f"{folder}/{described['path_name']}")
    if described["use_pickle"]:  # of a tensor that is more than plain numbers
        tensor = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(tensor, Tensor):
            raise ValueError(f"expected a tensor, and not {type(tensor).__name__}")
        return tensor
    meta = described["tensor_meta"]
    if meta["layout"] != STRIDED or meta["dtype"] not in TYPES:
        raise ValueError(f"expected plain numbers, and not layout {meta['layout']} of type {meta['dtype']}")
    size, stride = ([int(length["as_int"]) for length in meta[key]] for key in ("sizes", "strides"))
    if not math.prod(size):
        return torch.empty(size, dtype=TYPES[meta["dtype"]])
    storage = torch.frombuffer(bytearray(content), dtype=TYPES[meta["dtype"]])
    return torch.as_strided(storage, size, stride, int(meta["storage_offset"]["as_int"])).clone()
