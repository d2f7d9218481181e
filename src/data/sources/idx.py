"""IDX files, the format of MNIST and of its successors (LeCun; https://yann.lecun.com/exdb/mnist)."""

import gzip
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from src.data.raw import Raw
from src.data.sources.files import Published
from src.errors import InputError

DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class IDX:
    """Images and labels of a training and a test split, in four files.

    Args:
        name: of the folder inside DATA_CACHE and inside the downloads.
        folder: where downloads go.
        mirrors: addresses that end in a slash, tried in this order.
        files: SHA-256 by file name: training images and labels, then test images and labels.
    """

    def __init__(self, *, name: str, folder: str, mirrors: Sequence[str], files: Mapping[str, str], classes: Sequence[str]):
        self._published = Published(name=name, folder=folder, mirrors=mirrors, files=files)
        self.classes = list(classes)

    def state(self) -> str:
        return self._published.state(self._published.files)

    def read(self) -> Raw:
        names = list(self._published.files)
        arrays = [parse(self._published.content(name), name) for name in names]
        image = np.concatenate([arrays[0], arrays[2]])[:, None]
        target = np.concatenate([arrays[1], arrays[3]]).astype(np.int64)
        train = len(arrays[0])
        return Raw(
            arrays={"image": image, "target": target},
            classes=self.classes,
            splits={"train": np.arange(train), "test": np.arange(train, len(image))},
            origin=self._published.origin,
        )


def parse(content: bytes, name: str) -> np.ndarray:
    """The array in an IDX file, gzipped or plain.

    Args:
        name: of the file, for messages.
    """
    try:
        data = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        zero, code, rank = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
        if zero or code not in DTYPES:
            raise ValueError(f"magic number {data[:4].hex()}")
        array = np.frombuffer(data, DTYPES[code], offset=4 + 4 * rank)
        return array.reshape(shape).astype(np.dtype(DTYPES[code]).newbyteorder("="))
    except (EOFError, OSError, ValueError, struct.error, zlib.error) as error:
        raise InputError(
            f"{name}: expected a complete IDX file; received {len(content)} bytes that are none ({error}). Replace the "
            "file, and its SHA-256 in the configuration."
        ) from error
