"""A folder of images and one of masks with equal names: images/<name>.png or .jpg, masks/<name>.png."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from src.data import tiles
from src.data.raw import Raw
from src.data.sources.decoding import SUFFIXES, channelled, check_channels, check_formats, check_pixels, decoded, numbers
from src.errors import InputError


class Pairs:
    """Images of any size with a class for each pixel, in square tiles.

    Args:
        files: where they lie, one of src.data.sources.files.
        images, masks: the two folders there.
        tile: pixels of a tile's side.
        stride: pixels between the beginnings of neighbouring tiles.
        channels: 1 for grey, 3 for colour.
        labels: the class by the value of a mask's pixels, in the order of their indices; several values may be of one
            class. None: each value that occurs is a class of its own.
        parts: names of images by part, val and test; None leaves the choice to the split.
    """

    def __init__(
        self,
        *,
        files: Any,
        images: str = "images",
        masks: str = "masks",
        tile: int,
        stride: int,
        channels: int,
        labels: Mapping[int, str] | None = None,
        parts: Mapping[str, Sequence[str | int]] | None = None,
    ):
        check_channels(channels)
        check_pixels("tile", tile)
        check_pixels("stride", stride, most=tile)
        self._files = files
        self._folders = {"image": images, "mask": masks}
        self._tile, self._stride, self._channels = tile, stride, channels
        self._labels = None if labels is None else {int(value): str(label) for value, label in labels.items()}
        self._parts = {part: [str(name) for name in names] for part, names in (parts or {}).items()}

    def state(self) -> str:
        return self._files.state([file for pair in self._pairs().values() for file in pair])

    def read(self) -> Raw:
        pairs = self._pairs()
        parts = self._numbers(list(pairs))
        read, wrong = [], []
        for name, (image, mask) in pairs.items():
            try:
                read.append(self._decoded(self._files.content(image), self._files.content(mask)))
            except ValueError as error:
                wrong.append(f"{name}: {error}")
        if wrong:
            raise InputError(f"{self._where()}: {_few(wrong)}\nRepair or remove these pairs.")
        values = sorted({value for _, mask in read for value in np.unique(mask).tolist()})
        labels = self._labels or {value: str(value) for value in values}
        classes = list(dict.fromkeys(labels.values()))
        if len(classes) > 256:
            raise InputError(f"{self._where()}: expected at most 256 classes; received {len(classes)}. State data.labels.")
        arrays = self._tiled(read, {value: classes.index(label) for value, label in labels.items()})
        return Raw(
            arrays=arrays,
            classes=classes,
            parts={part: np.flatnonzero(np.isin(arrays["group"], chosen)) for part, chosen in parts.items()},
            origin=self._files.origin,
            groups=list(pairs),
        )

    def _tiled(self, read: list[tuple[np.ndarray, np.ndarray]], indices: Mapping[int, int]) -> dict[str, np.ndarray]:
        """The arrays of the store, image after image."""
        found: dict[str, list[np.ndarray]] = {"image": [], "target": [], "group": [], "place": []}
        for number, (pixels, values) in enumerate(read):
            mask = np.zeros(values.shape, dtype=np.uint8)
            for value, index in indices.items():
                mask[values == value] = index
            cut, corners = tiles.cut(pixels, size=self._tile, stride=self._stride)
            found["image"].append(cut)
            found["target"].append(tiles.cut(mask, size=self._tile, stride=self._stride)[0])
            found["group"].append(np.full(len(cut), number, dtype=np.int64))
            found["place"].append(np.hstack([corners, np.tile(np.array(mask.shape, dtype=np.int32), (len(cut), 1))]))
        return {name: np.concatenate(arrays) for name, arrays in found.items()}

    def _pairs(self) -> dict[str, tuple[str, str]]:
        """The files of image and mask by their common name, in the order of the numbers in it."""
        found: dict[str, dict[str, str]] = {}
        for kind, suffixes in (("image", SUFFIXES), ("mask", (".png",))):
            found[kind] = {}
            paths = [PurePosixPath(file) for file in sorted(self._files.names(self._folders[kind]))]
            check_formats(paths, where=self._where())
            for path in paths:
                if path.suffix.lower() not in suffixes:
                    continue
                if path.stem in found[kind]:
                    raise InputError(f"{self._where()}: expected one {kind} {path.stem}; received two, {path} among them.")
                found[kind][path.stem] = str(path)
        image, mask = found["image"], found["mask"]
        alone = [f"{image[name]} has no mask {self._folders['mask']}/{name}.png" for name in image if name not in mask]
        alone += [f"{mask[name]} has no image of its name in {self._folders['image']}" for name in mask if name not in image]
        if alone or not image:
            raise InputError(
                f"{self._where()}: expected for each image ({', '.join(SUFFIXES)}) a mask of the same name (.png); received "
                f"{_few(alone) if alone else 'no image.'}"
            )
        return {name: (image[name], mask[name]) for name in sorted(image, key=_natural)}

    def _decoded(self, image: bytes, mask: bytes) -> tuple[np.ndarray, np.ndarray]:
        pixels, values = channelled(decoded(image, channels=self._channels)), numbers(mask)
        if pixels.shape[1:] != values.shape:
            sizes = "x".join(map(str, pixels.shape[1:])), "x".join(map(str, values.shape))
            raise ValueError(f"expected a mask of the image's size, {sizes[0]}; received {sizes[1]}")
        if self._labels is not None and (unknown := sorted(set(np.unique(values).tolist()) - set(self._labels))):
            listed = ", ".join(map(str, self._labels))
            raise ValueError(f"expected labels among {listed} (data.labels); received {', '.join(map(str, unknown[:10]))}")
        tiles.cut(values, size=self._tile, stride=self._tile)  # refuses what is smaller than a tile
        return pixels, values

    def _numbers(self, names: list[str]) -> dict[str, list[int]]:
        """The stated parts as numbers of images."""
        stated = [name for chosen in self._parts.values() for name in chosen]
        wrong = sorted(set(self._parts) - {"val", "test"}) + sorted(set(stated) - set(names), key=_natural)
        twice = sorted({name for name in stated if stated.count(name) > 1}, key=_natural)
        if wrong or twice or not all(self._parts.values()) or len(stated) >= len(names):
            raise InputError(
                f"data.parts: expected names of images for val and test, each once, and others left for training; received "
                f"{self._parts} for {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}."
            )
        return {part: [names.index(name) for name in chosen] for part, chosen in self._parts.items()}

    def _where(self) -> str:
        return f"{self._files.origin} ({self._folders['image']}, {self._folders['mask']})"


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key by which 9 comes before 10."""
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    return [(False, int(part), "") if part[0] in "0123456789" else (True, 0, part) for part in parts]


def _few(lines: list[str]) -> str:
    """How many lines there are, and the first of them."""
    return f"{len(lines)} that cannot be used:\n  " + "\n  ".join(lines[:10])
