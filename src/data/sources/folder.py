"""A folder of images by class: root/<class>/<any name>.png or .jpg. Hidden files and folders do not count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.data.raw import Raw
from src.data.sources import files
from src.data.sources.decoding import SUFFIXES, channels_first, check_channels, check_formats, check_length, decode
from src.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


class Folder:
    """A user's own images. The names of the sub-folders, sorted, are the classes.

    Every image is converted to `channels` channels, scaled until its shorter side has `size` pixels, and
    cropped to the middle.
    """

    def __init__(self, *, root: str, size: int, channels: int):
        check_channels(channels)
        check_length("size", size)
        self.root = Path(root)
        self.size = size
        self.channels = channels

    def state(self) -> str:
        return files.state(self.root, self._paths())

    def read(self) -> Raw:
        paths = self._paths()
        classes = sorted({path.parent.name for path in paths})
        image = np.empty((len(paths), self.channels, self.size, self.size), dtype=np.uint8)
        broken = []
        for row, path in enumerate(paths):
            try:
                image[row] = self._pixels(decode(path, channels=self.channels))
            except ValueError as error:
                broken.append(f"{path}: {error}")
        if broken:
            raise InputError(
                f"{self.root}: {len(broken)} of {len(paths)} files cannot be read as images. Repair or remove them:\n  "
                + "\n  ".join(broken[:10])
            )
        target = np.array([classes.index(path.parent.name) for path in paths], dtype=np.int64)
        return Raw(arrays={"image": image, "target": target}, classes=classes, origin=self.root.name)

    def _paths(self) -> list[Path]:
        if not self.root.is_dir():
            raise InputError(f"data.root={self.root}: expected a folder with a folder of images for each class; there is none.")
        candidates = sorted(self.root.glob("[!.]*/[!.]*"))
        check_formats(candidates, where=f"data.root={self.root}")
        paths = [path for path in candidates if path.suffix.lower() in SUFFIXES]
        classes = {path.parent.name for path in paths}
        if len(classes) < 2:
            received = f"one class, {classes.pop()}" if classes else "no image"
            raise InputError(
                f"data.root={self.root}: expected at least two folders with {', '.join(SUFFIXES)} files, one for each class; "
                f"received {received}."
            )
        return paths

    def _pixels(self, image: Image) -> np.ndarray:
        width, height = image.size
        scale = self.size / min(width, height)
        image = image.resize((max(self.size, round(width * scale)), max(self.size, round(height * scale))))
        left, top = (image.size[0] - self.size) // 2, (image.size[1] - self.size) // 2
        return channels_first(image.crop((left, top, left + self.size, top + self.size)))
