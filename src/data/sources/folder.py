"""A folder of images by class: root/<class>/<any name>.png or .jpg; hidden files and folders do not count."""

from pathlib import Path

import numpy as np

from src.data.raw import Raw
from src.data.sources import files
from src.data.sources.decoding import SUFFIXES, channelled, check_channels, check_formats, check_pixels, decoded
from src.errors import InputError


class Folder:
    """A user's own images. The names of the sub-folders, sorted, are the classes.

    Every image is converted to `channels` channels, scaled so that its shorter side has `size` pixels, and
    cropped to the middle.
    """

    def __init__(self, *, root: str, size: int, channels: int):
        check_channels(channels)
        check_pixels("size", size)
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
                image[row] = self._pixels(decoded(path, channels=self.channels))
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
            raise InputError(f"data.root={self.root}: expected a folder with one folder of images a class; there is none.")
        found = sorted(self.root.glob("[!.]*/[!.]*"))
        check_formats(found, where=f"data.root={self.root}")
        paths = [path for path in found if path.suffix.lower() in SUFFIXES]
        classes = {path.parent.name for path in paths}
        if len(classes) < 2:
            received = f"one class, {classes.pop()}" if classes else "no image"
            raise InputError(
                f"data.root={self.root}: expected at least two folders with {', '.join(SUFFIXES)} files, one a class; "
                f"received {received}."
            )
        return paths

    def _pixels(self, image) -> np.ndarray:
        width, height = image.size
        scale = self.size / min(width, height)
        image = image.resize((max(self.size, round(width * scale)), max(self.size, round(height * scale))))
        left, top = (image.size[0] - self.size) // 2, (image.size[1] - self.size) // 2
        return channelled(image.crop((left, top, left + self.size, top + self.size)))
