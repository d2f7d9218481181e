"""A folder of images by class: root/<class>/<any name>.png or .jpg; hidden files and folders do not count."""

import hashlib
from pathlib import Path

import numpy as np

from src.data.store import Raw
from src.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")


class Folder:
    """A user's own images. The names of the sub-folders, sorted, are the classes.

    Every image is converted to `channels` channels, scaled so that its shorter side has `size` pixels, and
    cropped to the middle.
    """

    def __init__(self, *, root: str, size: int, channels: int):
        if channels not in (1, 3) or size < 1:
            raise InputError(f"expected channels=1 or 3 and size from 1; received channels={channels}, size={size}.")
        self.root = Path(root)
        self.size = size
        self.channels = channels

    def state(self) -> str:
        """A digest of every file's name, size and time of change."""
        lines = [f"{path.relative_to(self.root)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self._paths()]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def read(self) -> Raw:
        from PIL import Image, ImageOps, UnidentifiedImageError  # only where images are decoded

        paths = self._paths()
        classes = sorted({path.parent.name for path in paths})
        image = np.empty((len(paths), self.channels, self.size, self.size), dtype=np.uint8)
        broken = []
        for row, path in enumerate(paths):
            try:
                with Image.open(path) as opened:
                    image[row] = self._pixels(
                        _eight_bits(ImageOps.exif_transpose(opened)).convert("L" if self.channels == 1 else "RGB")
                    )
            except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
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
        paths = sorted(path for path in self.root.glob("[!.]*/[!.]*") if path.suffix.lower() in SUFFIXES)
        classes = {path.parent.name for path in paths}
        if len(classes) < 2:
            found = f"one class, {classes.pop()}" if classes else "no image"
            raise InputError(
                f"data.root={self.root}: expected at least two folders with {', '.join(SUFFIXES)} files, one a class; "
                f"received {found}."
            )
        return paths

    def _pixels(self, image) -> np.ndarray:
        width, height = image.size
        scale = self.size / min(width, height)
        image = image.resize((max(self.size, round(width * scale)), max(self.size, round(height * scale))))
        left, top = (image.size[0] - self.size) // 2, (image.size[1] - self.size) // 2
        pixels = np.asarray(image.crop((left, top, left + self.size, top + self.size)))
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _eight_bits(image):
    """The image; one with 16 bits of grey in 8, for Pillow's own conversion would turn all but black into white."""
    from PIL import Image

    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode.startswith("I") else image
