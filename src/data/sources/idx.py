"""IDX files, the format of MNIST and of what follows it (LeCun; https://yann.lecun.com/exdb/mnist)."""

import gzip
import hashlib
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from src.data.store import Raw
from src.errors import InputError

DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class IDX:
    """Images and labels of a training and a test part, in four files.

    Args:
        name: the folder that is looked for in the folder named by the variable DATA_CACHE.
        folder: where downloads go.
        mirrors: addresses that end in a slash, tried in this order.
        files: SHA-256 by file name: training images and labels, then test images and labels.
    """

    def __init__(self, *, name: str, folder: str, mirrors: Sequence[str], files: Mapping[str, str], classes: Sequence[str]):
        self.name = name
        self.folder = Path(folder) / name
        self.mirrors = list(mirrors)
        self.files = dict(files)
        self.classes = list(classes)

    def state(self) -> str:
        return ",".join(self.files.values())

    def read(self) -> Raw:
        contents = [self._content(file) for file in self.files]
        arrays = [parse(content, file) for content, file in zip(contents, self.files, strict=True)]
        image = np.concatenate([arrays[0], arrays[2]])[:, None]
        target = np.concatenate([arrays[1], arrays[3]]).astype(np.int64)
        train = len(arrays[0])
        return Raw(
            arrays={"image": image, "target": target},
            classes=self.classes,
            parts={"train": np.arange(train), "test": np.arange(train, len(image))},
            origin=self.mirrors[0],
        )

    def _content(self, file: str) -> bytes:
        """The file's bytes from DATA_CACHE, from the downloads, or from a mirror; its hash is checked in any case."""
        cache = os.environ.get("DATA_CACHE")
        for folder in ([Path(cache) / self.name] if cache else []) + [self.folder]:
            path = folder / file
            if path.is_file():
                content = path.read_bytes()
                received = hashlib.sha256(content).hexdigest()
                if received != self.files[file]:
                    raise InputError(
                        f"{path}: expected SHA-256 {self.files[file]}; received {received} ({len(content)} bytes: truncated "
                        "or altered). Delete the file; the next command fetches it again."
                    )
                return content
        return self._download(file).read_bytes()

    def _download(self, file: str) -> Path:
        import pooch  # only where something has to be fetched

        reasons = []
        for mirror in self.mirrors:
            try:
                return Path(
                    pooch.retrieve(
                        mirror + file,
                        known_hash=self.files[file],
                        fname=file,
                        path=self.folder,
                        downloader=pooch.HTTPDownloader(progressbar=os.isatty(2), timeout=30),
                    )
                )
            except (OSError, ValueError) as error:  # no connection, an HTTP status, or another hash
                reasons.append(f"{mirror}: {str(error).splitlines()[0][:120]}")
        raise InputError(
            f"{file} could not be fetched. Put it into $DATA_CACHE/{self.name}/ or into {self.folder}/ by hand.\n  "
            + "\n  ".join(reasons)
        )


def parse(content: bytes, name: str) -> np.ndarray:
    """The array in an IDX file, gzipped or plain."""
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
            f"{name}: expected a whole IDX file; received {len(content)} bytes that are not one ({error})."
        ) from error
