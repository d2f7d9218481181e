"""A folder of images and a folder of masks with equal names: images/<name>.png or .jpg, masks/<name>.png."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from src.data import tiles
from src.data.raw import IGNORED, Raw
from src.data.sources.decoding import (
    SUFFIXES,
    channels_first,
    check_channels,
    check_formats,
    check_length,
    decode,
    decode_values,
)
from src.data.sources.files import Files
from src.errors import InputError


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
        self._splits = {split: [str(name) for name in names] for split, names in (splits or {}).items()}

    def state(self) -> str:
        return self._files.state([file for pair in self._pairs().values() for file in pair])

    def read(self) -> Raw:
        pairs = self._pairs()
        splits = self._image_numbers(list(pairs))
        decoded, errors = [], []
        for name, (image, mask) in pairs.items():
            contents = self._files.content(image), self._files.content(mask)
            try:
                decoded.append(self._decode(*contents))
            except ValueError as error:
                errors.append(f"{name}: {error}")
        if errors:
            raise InputError(f"{self._where()}: {_listed(errors)}\nRepair or remove these pairs.")
        values = sorted({value for _, mask in decoded for value in np.unique(mask).tolist()} - {*self._ignored})
        labels = self._labels or {value: str(value) for value in values}
        classes = list(dict.fromkeys(labels.values()))
        if len(classes) > IGNORED:
            raise InputError(f"{self._where()}: expected at most {IGNORED} classes; received {len(classes)}. Set data.labels.")
        indices = {value: classes.index(label) for value, label in labels.items()}
        arrays = self._tiles(decoded, {**indices, **dict.fromkeys(self._ignored, IGNORED)})
        return Raw(
            arrays=arrays,
            classes=classes,
            splits={split: np.flatnonzero(np.isin(arrays["group"], numbers)) for split, numbers in splits.items()},
            origin=self._files.origin,
            groups=list(pairs),
            ignores=bool(self._ignored),
        )

    def _tiles(self, decoded: list[tuple[np.ndarray, np.ndarray]], indices: Mapping[int, int]) -> dict[str, np.ndarray]:
        """The arrays of the store, image after image.

        Args:
            decoded: pixels and mask values of each image.
            indices: the class index by mask value.
        """
        arrays: dict[str, list[np.ndarray]] = {"image": [], "target": [], "group": [], "position": []}
        for number, (pixels, values) in enumerate(decoded):
            mask = np.zeros(values.shape, dtype=np.uint8)
            for value, index in indices.items():
                mask[values == value] = index
            images, corners = tiles.cut(pixels, size=self._tile, stride=self._stride)
            arrays["image"].append(images)
            arrays["target"].append(tiles.cut(mask, size=self._tile, stride=self._stride)[0])
            arrays["group"].append(np.full(len(images), number, dtype=np.int64))
            arrays["position"].append(np.hstack([corners, np.tile(np.array(mask.shape, dtype=np.int32), (len(images), 1))]))
        return {name: np.concatenate(pieces) for name, pieces in arrays.items()}

    def _pairs(self) -> dict[str, tuple[str, str]]:
        """The files of image and mask by their common name. Numbers in the names are sorted by value."""
        by_name: dict[str, dict[str, str]] = {"image": {}, "mask": {}}
        for kind, suffixes in (("image", SUFFIXES), ("mask", (".png",))):
            paths = [PurePosixPath(file) for file in sorted(self._files.names(self._folders[kind]))]
            check_formats(paths, where=self._where())
            for path in paths:
                if path.suffix.lower() not in suffixes:
                    continue
                if path.stem in by_name[kind]:
                    raise InputError(
                        f"{self._where()}: expected one {kind} named {path.stem}; received two, {path} among them. Remove one."
                    )
                by_name[kind][path.stem] = str(path)
        image, mask = by_name["image"], by_name["mask"]
        single = [f"{image[name]} has no mask {self._folders['mask']}/{name}.png" for name in image if name not in mask]
        single += [f"{mask[name]} has no image of its name in {self._folders['image']}" for name in mask if name not in image]
        if single or not image:
            raise InputError(
                f"{self._where()}: expected for each image ({', '.join(SUFFIXES)}) a mask of the same name (.png); received "
                f"{_listed(single) if single else 'no image.'}"
            )
        return {name: (image[name], mask[name]) for name in sorted(image, key=_natural)}

    def _decode(self, image: bytes, mask: bytes) -> tuple[np.ndarray, np.ndarray]:
        pixels, values = channels_first(decode(image, channels=self._channels)), decode_values(mask)
        if pixels.shape[1:] != values.shape:
            sizes = "x".join(map(str, pixels.shape[1:])), "x".join(map(str, values.shape))
            raise ValueError(f"expected a mask of the image's size, {sizes[0]}; received {sizes[1]}")
        if self._labels is not None and (unknown := sorted(set(np.unique(values).tolist()) - {*self._labels, *self._ignored})):
            known = ", ".join(map(str, (*self._labels, *self._ignored)))
            raise ValueError(f"expected labels among {known} (data.labels); received {', '.join(map(str, unknown[:10]))}")
        tiles.cut(values, size=self._tile, stride=self._tile)  # refuses an image that is smaller than a tile
        return pixels, values

    def _image_numbers(self, names: list[str]) -> dict[str, list[int]]:
        """The stated splits as numbers of images."""
        stated = [name for own in self._splits.values() for name in own]
        unknown = sorted(set(self._splits) - {"val", "test"}) + sorted(set(stated) - set(names), key=_natural)
        repeated = sorted({name for name in stated if stated.count(name) > 1}, key=_natural)
        if unknown or repeated or not all(self._splits.values()) or len(stated) >= len(names):
            raise InputError(
                "data.splits: expected names of images for val and test, each once, with some images left for training; "
                f"received {self._splits} for the images {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}."
            )
        return {split: [names.index(name) for name in own] for split, own in self._splits.items()}

    def _where(self) -> str:
        return f"{self._files.origin} ({self._folders['image']}, {self._folders['mask']})"


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that puts 9 before 10."""
    pieces = [piece for piece in re.split(r"([0-9]+)", name) if piece]
    return [(False, int(piece), "") if piece[0] in "0123456789" else (True, 0, piece) for piece in pieces]


def _listed(lines: list[str]) -> str:
    """The number of lines, and the first of them."""
    return f"{len(lines)} that cannot be used:\n  " + "\n  ".join(lines[:10])
