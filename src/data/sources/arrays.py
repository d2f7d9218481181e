"""Pictures and classes in arrays of numpy: a file .npz, or a folder of files .npy."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from src.data.raw import Raw
from src.data.sources import files, values
from src.data.splitting import SPLITS
from src.errors import InputError

DAMAGED = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)  # what reading raises for a file that is not whole


class Arrays:
    """Pictures (count, height, width), (count, height, width, channels) or (count, channels, height, width), and their classes.

    Values are bytes, whole numbers from 0 to 255, or numbers from 0 to 1. Classes are whole numbers from 0, (count,).

    Args:
        file: .npz, or a folder.
        arrays: by split, the names of its pictures and of its classes; None for a split that is drawn.
        classes: their names; None for their numbers.
    """

    def __init__(self, *, file: str, arrays: Mapping[str, Sequence[str] | None], classes: Sequence[str | int] | None = None):
        self._path = Path(file)
        self._where = f"data.file={files.text(self._path)}"
        self._names = {split: [*names] for split, names in arrays.items() if names is not None}
        self._classes = None if classes is None else [str(name) for name in classes]
        if not {*self._names} <= {*SPLITS} or "train" not in self._names or any(len(two) != 2 for two in self._names.values()):
            raise InputError(
                f"data.arrays: expected for train, and perhaps for val and test, two names as [images,labels]; received "
                f"{dict(arrays)}. Correct them."
            )

    def state(self) -> str:
        paths = [self._path] if self._path.is_file() else sorted(self._path.glob("*.npy"))
        return f"{self._names} {self._classes} {files.state(self._path.parent, paths)}"

    def read(self) -> Raw:
        images, labels, splits, first = [], [], {}, 0
        with self._opened() as found:
            for split, names in self._names.items():
                pictures, classes = (self._array(found, name) for name in names)
                if len(pictures) != len(classes) or not len(pictures):
                    raise InputError(
                        f"{self._where}: expected as many classes as pictures, and at least one; {names[0]} has "
                        f"{len(pictures):,} and {names[1]} {len(classes):,}. Name the two that belong together."
                    )
                where = f"{self._where}: {names[0]}"
                images.append(values.as_bytes(values.channels_first(pictures, where), where))
                labels.append(values.whole(classes, f"{self._where}: {names[1]}"))
                splits[split] = np.arange(first, first := first + len(pictures))
        shapes = {values.shown(image.shape[1:]) for image in images}
        if len(shapes) > 1:
            raise InputError(
                f"{self._where}: expected pictures of one size in all splits; received {' and '.join(sorted(shapes))}."
            )
        target = np.concatenate(labels)
        return Raw(
            arrays={"image": np.concatenate(images), "target": target},
            classes=values.named(target, self._classes, self._where),
            splits=splits if len(splits) > 1 else {},
            origin=files.text(self._path.name),
        )

    def _opened(self) -> AbstractContextManager[Mapping[str, np.ndarray] | Path]:
        """The file's arrays by name, or the folder.

        Raises:
            InputError: there is none, or the file is damaged.
        """
        if self._path.is_dir():
            return nullcontext(self._path)
        if not self._path.is_file():
            raise InputError(f"{self._where}: expected a file .npz, or a folder of files .npy; there is none.")
        if self._path.suffix == ".npz" and not zipfile.is_zipfile(self._path):  # of which numpy would leave the file open
            raise InputError(f"{self._where}: expected a whole file .npz of plain arrays; received another, or a part of one.")
        try:
            opened = np.load(self._path, allow_pickle=False)
        except DAMAGED as error:
            raise InputError(
                f"{self._where}: expected a whole file .npz of plain arrays; received another: {error}."
            ) from error
        if isinstance(opened, np.ndarray):
            raise InputError(f"{self._where}: expected a file .npz, or a folder of files .npy; received a single array.")
        return opened

    def _array(self, found: Mapping[str, np.ndarray] | Path, name: str) -> np.ndarray:
        known = sorted(path.stem for path in found.glob("*.npy")) if isinstance(found, Path) else sorted(found)
        if name not in known:
            raise InputError(
                f"{self._where}: expected an array {name}, as data.arrays says; it has {', '.join(known) or 'none'}."
            )
        try:
            return np.load(found / f"{name}.npy", mmap_mode="r", allow_pickle=False) if isinstance(found, Path) else found[name]
        except DAMAGED as error:  # numpy raises ValueError for objects, which are pickles
            raise InputError(f"{self._where}: expected plain numbers in {name}; it cannot be read: {error}.") from error
