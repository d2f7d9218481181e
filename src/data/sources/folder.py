"""A folder of images by class: root/<class>/<any name>.png or .jpg, at any depth. Hidden files and folders do not count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.data.notes import counted, listed
from src.data.raw import Raw
from src.data.sources import files
from src.data.sources.decoding import (
    SUFFIXES,
    channels_first,
    check_channels,
    check_formats,
    check_length,
    decode,
    is_deep,
)
from src.data.sources.depth import Depth
from src.data.unreadable import leave_out
from src.errors import InputError
from src.value_types import Whole

if TYPE_CHECKING:
    from PIL.Image import Image

ELONGATED = 4  # times as long as wide; the middle square of a longer image is less than a quarter of it


@dataclass
class _Found:
    """What lies below the root.

    Args:
        images: in the order of their rows.
        empty: names of folders without an image.
        others: number of files that are no images, by suffix.
        loose: images outside of the folders of the classes, and links that lead to nothing.
        links: links to folders, which are not followed.
    """

    images: list[Path] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    loose: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """A line for each kind of what is left out."""
        kinds = [f"{number:,} {kind}" for kind, number in self.others.most_common()]
        others = counted(self.others.total(), "file is no image and", "files are no images and")
        loose = counted(len(self.loose), "file is", "files are")
        lines = {
            f"{counted(len(self.empty), 'folder has', 'folders have')} no image, and no class is made of it": self.empty,
            f"{others} left out": kinds,
            f"{loose} outside of the folders of the classes and left out": self.loose,
            f"{counted(len(self.links), 'link to a folder is', 'links to folders are')} not followed": self.links,
        }
        return [f"{line}: {listed(names)}." for line, names in lines.items() if names]


class Folder:
    """A user's own images. The names of the folders in the root, sorted, are the classes.

    Every image is converted to `channels` channels, scaled until its shorter side has `size` pixels, and
    cropped to the middle.

    Args:
        max_unreadable: files that cannot be read, up to which they are left out and counted.
    """

    def __init__(self, *, root: str, size: int, channels: int, max_unreadable: Whole = 0):
        check_channels(channels)
        check_length("size", size)
        self.root = Path(root)
        self.size = size
        self.channels = channels
        self.max_unreadable = max_unreadable

    def state(self) -> str:
        return files.state(self.root, self._find().images)

    def read(self) -> Raw:
        found, depth = self._find(), Depth()
        image = np.empty((len(found.images), self.channels, self.size, self.size), dtype=np.uint8)
        kept: list[Path] = []
        deep: list[int] = []  # rows of images with 16 bits, decoded again when the values of all of them are known
        elongated: list[str] = []
        unreadable: list[tuple[str, str]] = []
        for path in found.images:
            try:
                picture = decode(path, channels=self.channels, depth=depth)
            except ValueError as error:
                unreadable.append((self._name(path), str(error)))
                continue
            if max(picture.size) > ELONGATED * min(picture.size):
                elongated.append(f"{self._name(path)} ({picture.size[0]}x{picture.size[1]})")
            if is_deep(picture):
                deep.append(len(kept))
            else:
                image[len(kept)] = self._pixels(picture)
            kept.append(path)
        where = f"data.root={files.text(self.root)}"
        left_out = leave_out(
            unreadable,
            count=len(found.images),
            limit=self.max_unreadable,
            where=where,
            what="files cannot be read as images",
        )
        notes = [*found.notes(), *left_out, *depth.notes(where)]
        for row in deep:
            image[row] = self._pixels(self._eight_bits(decode(kept[row], channels=self.channels, depth=Depth()), depth))
        if elongated:
            notes.append(
                f"{counted(len(elongated), 'image is', 'images are')} more than {ELONGATED} times as long as wide; only the "
                f"middle square of each is kept: {listed(elongated)}."
            )
        names = [self._name(path) for path in kept]
        labels = [name.partition("/")[0] for name in names]
        classes = sorted(set(labels))
        if lost := sorted({self._name(path).partition("/")[0] for path in found.images} - {*classes}):
            notes.append(f"{counted(len(lost), 'class has', 'classes have')} no image that can be read: {listed(lost)}.")
        numbers = {label: number for number, label in enumerate(classes)}
        return Raw(
            arrays={"image": image[: len(kept)], "target": np.array([numbers[label] for label in labels], dtype=np.int64)},
            classes=classes,
            origin=files.text(self.root.name),
            names=names,
            notes=notes,
        )

    def _find(self) -> _Found:
        where = f"data.root={files.text(self.root)}"
        if not self.root.is_dir():
            raise InputError(f"{where}: expected a folder with a folder of images for each class; there is none.")
        found, classes = _Found(), list[str]()
        for entry in sorted(self.root.glob("[!.]*")):
            if not entry.is_dir():
                is_lost = entry.is_symlink() and not entry.exists()
                found.loose += [self._name(entry)] if is_lost or entry.suffix.lower() in SUFFIXES else []
                continue
            inside, links = files.walk(entry)
            check_formats(inside, where=where)
            images = [path for path in inside if path.suffix.lower() in SUFFIXES]
            (classes if images else found.empty).append(self._name(entry))
            found.images += images
            found.links += map(self._name, links)
            found.others.update(
                files.text(path.suffix.lower() or path.name) for path in inside if path.suffix.lower() not in SUFFIXES
            )
        if len(classes) < 2:
            received = f"one class, {classes[0]}" if classes else "no image"
            raise InputError(
                f"{where}: expected at least two folders with {', '.join(SUFFIXES)} files, one for each class; "
                f"received {received}."
            )
        return found

    def _name(self, path: Path) -> str:
        return files.text(path.relative_to(self.root).as_posix())

    def _eight_bits(self, image: Image, depth: Depth) -> Image:
        from PIL.Image import fromarray  # only where images are decoded

        return fromarray(depth.eight_bits(np.asarray(image))).convert("L" if self.channels == 1 else "RGB")

    def _pixels(self, image: Image) -> np.ndarray:
        image = _shortened(image)
        width, height = image.size
        scale = self.size / min(width, height)
        image = image.resize((max(self.size, round(width * scale)), max(self.size, round(height * scale))))
        left, top = (image.size[0] - self.size) // 2, (image.size[1] - self.size) // 2
        return channels_first(image.crop((left, top, left + self.size, top + self.size)))


def _shortened(image: Image) -> Image:
    """The middle of a very long image. Scaled as a whole, 60,000x1 pixels would fill the memory."""
    longest = ELONGATED * min(image.size)
    width, height = min(image.size[0], longest), min(image.size[1], longest)
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))
