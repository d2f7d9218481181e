"""A folder of images and a folder of masks with equal names: images/<name>.jpg, .png ..., masks/<name>.png ..."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from src.data import progress, tiles
from src.data.notes import counted, listed
from src.data.raw import IGNORED, Raw
from src.data.sources.decoding import (
    EXACT,
    SUFFIXES,
    channels_first,
    check_channels,
    check_formats,
    check_length,
    decode,
    decode_values,
)
from src.data.sources.depth import Depth
from src.data.sources.files import Files, text
from src.data.sources.tiling import Tiling
from src.data.unreadable import leave_out
from src.errors import InputError
from src.value_types import Whole


class Pairs:
    """Images of any size with a class for each pixel, cut into square tiles.

    Args:
        files: where the images are.
        images, masks: the two folders there.
        tile: side of a tile in pixels.
        stride: pixels between the beginnings of neighbouring tiles.
        channels: 1 for grey, 3 for colour.
        labels: the class by the value of a mask's pixels, in the order of the class indices. Several values may be of one
            class. None: each value in the masks is a class of its own.
        ignored: values of a mask's pixels that do not count, neither in the loss nor in the scores.
        splits: names of the images of val and of test; None leaves the choice to data.dataset.split.
        max_unreadable: pairs that cannot be read, up to which they are left out and counted.
    """

    def __init__(
        self,
        *,
        files: Files,
        images: str = "images",
        masks: str = "masks",
        tile: int,
        stride: int,
        channels: int,
        labels: Mapping[int, str | int] | None = None,
        ignored: Sequence[int] = (),
        splits: Mapping[str, Sequence[str | int]] | None = None,
        max_unreadable: Whole = 0,
    ):
        check_channels(channels)
        check_length("tile", tile)
        check_length("stride", stride, largest=tile)
        self._files = files
        self._folders = {"image": images, "mask": masks}
        self._tile, self._stride, self._channels = tile, stride, channels
        self._labels = None if labels is None else {int(value): str(label) for value, label in labels.items()}
        self._ignored = [int(value) for value in ignored]
        if both := sorted({*self._ignored} & {*(self._labels or {})}):
            raise InputError(
                f"data.ignored: expected values that are of no class; received {', '.join(map(str, both))}, which data.labels "
                "names too. Leave it out of one of the two."
            )
        self._max_unreadable = max_unreadable
        self._splits = {split: [str(name) for name in names] for split, names in (splits or {}).items()}

    def state(self) -> str:
        return self._files.state([file for pair in self._pairs()[0].values() for file in pair])

    def read(self) -> Raw:
        pairs, others = self._pairs()
        self._image_numbers(list(pairs), self._splits)  # refuses wrong names before anything is decoded
        tiling = Tiling(
            tile=self._tile, stride=self._stride, channels=self._channels, labels=self._labels, ignored=self._ignored
        )
        names, unreadable = list[str](), list[tuple[str, str]]()
        with progress.shown(len(pairs), what="pairs", least=progress.MANY) as update:
            for name, (image, mask) in pairs.items():
                update(1)
                try:
                    contents = self._files.content(image), self._files.content(mask)
                except OSError as error:
                    unreadable.append((name, str(error)))
                    continue
                try:
                    pixels, values = self._decode(*contents, depth=tiling.depth)
                except ValueError as error:
                    unreadable.append((name, str(error)))
                    continue
                tiling.add(pixels, values)
                names.append(name)
        where = self._where()
        notes = [f"{counted(len(others), 'file is', 'files are')} left out as no image: {listed(others)}."] if others else []
        notes += leave_out(unreadable, count=len(pairs), limit=self._max_unreadable, where=where, what="pairs cannot be used")
        notes += tiling.depth.notes(where)
        readable = {*names}
        stated = {split: [name for name in own if name in readable] for split, own in self._splits.items()}
        splits = self._image_numbers(names, stated)
        classes = tiling.classes
        if len(classes) > IGNORED:
            raise InputError(f"{where}: expected at most {IGNORED} classes; received {len(classes)}. Set data.labels.")
        for number in tiling.outdated:
            try:
                tiling.replace(number, self._pixels(self._files.content(pairs[names[number]][0]), Depth()))
            except (OSError, ValueError) as error:
                raise InputError(f"{where}: {names[number]} was changed while it was read: {error}. Begin again.") from error
        arrays = tiling.arrays()
        return Raw(
            arrays=arrays,
            classes=classes,
            splits={split: np.flatnonzero(np.isin(arrays["group"], numbers)) for split, numbers in splits.items()},
            origin=self._files.origin,
            groups=names,
            ignores=bool(self._ignored),
            reading={"stride": self._stride, "shift": tiling.depth.shift},
            notes=notes,
        )

    def _pairs(self) -> tuple[dict[str, tuple[str, str]], list[str]]:
        """The files of image and mask by their common name, and other files. Numbers in the names are sorted by value."""
        others = []
        by_name: dict[str, dict[str, str]] = {"image": {}, "mask": {}}
        for kind, suffixes in (("image", SUFFIXES), ("mask", EXACT)):
            paths = [PurePosixPath(file) for file in sorted(self._files.names(self._folders[kind]))]
            check_formats(paths, where=self._where())
            for path in paths:
                if path.suffix.lower() not in suffixes:
                    others.append(text(path))
                    continue
                name = text(path.relative_to(self._folders[kind]).with_suffix(""))
                if name in by_name[kind]:
                    raise InputError(
                        f"{self._where()}: expected one {kind} named {name}; received two, {text(path)} among them. Remove one."
                    )
                by_name[kind][name] = str(path)
        image, mask = by_name["image"], by_name["mask"]
        single = [f"{text(image[name])} has no mask {self._folders['mask']}/{name}.png" for name in image if name not in mask]
        single += [
            f"{text(mask[name])} has no image of its name in {self._folders['image']}" for name in mask if name not in image
        ]
        if single or not image:
            raise InputError(
                f"{self._where()}: expected for each image ({', '.join(SUFFIXES)}) a mask of the same name "
                f"({', '.join(EXACT)}); received {_listed(single) if single else 'no image.'}"
            )
        return {name: (image[name], mask[name]) for name in sorted(image, key=_natural)}, others

    def _decode(self, image: bytes, mask: bytes, *, depth: Depth) -> tuple[np.ndarray, np.ndarray]:
        pixels, values = self._pixels(image, depth), decode_values(mask)
        if pixels.shape[1:] != values.shape:
            sizes = "x".join(map(str, pixels.shape[1:])), "x".join(map(str, values.shape))
            raise ValueError(f"expected a mask of the image's size, {sizes[0]}; received {sizes[1]}")
        if self._labels is not None and (unknown := sorted(set(np.unique(values).tolist()) - {*self._labels, *self._ignored})):
            known = ", ".join(map(str, (*self._labels, *self._ignored)))
            raise ValueError(f"expected labels among {known} (data.labels); received {', '.join(map(str, unknown[:10]))}")
        tiles.cut(values, size=self._tile, stride=self._tile)  # refuses an image that is smaller than a tile
        return pixels, values

    def _pixels(self, image: bytes, depth: Depth) -> np.ndarray:
        return channels_first(decode(image, channels=self._channels, depth=depth))

    def _image_numbers(self, names: list[str], splits: Mapping[str, list[str]]) -> dict[str, list[int]]:
        """The stated splits as numbers of images."""
        stated = [name for own in splits.values() for name in own]
        unknown = sorted(set(splits) - {"val", "test"}) + sorted(set(stated) - set(names), key=_natural)
        repeated = sorted({name for name in stated if stated.count(name) > 1}, key=_natural)
        if unknown or repeated or not all(splits.values()) or len(stated) >= len(names):
            raise InputError(
                "data.splits: expected names of images for val and test, each once, with some images left for training; "
                f"received {splits} for the images {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}."
            )
        return {split: [names.index(name) for name in own] for split, own in splits.items()}

    def _where(self) -> str:
        return f"{self._files.origin} ({self._folders['image']}, {self._folders['mask']})"


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that puts 9 before 10."""
    pieces = [piece for piece in re.split(r"([0-9]+)", name) if piece]
    return [(False, int(piece), "") if piece[0] in "0123456789" else (True, 0, piece) for piece in pieces]


def _listed(lines: list[str]) -> str:
    """The number of lines, and the first of them."""
    return f"{len(lines)} that cannot be used:\n  " + "\n  ".join(lines[:10])
