"""Any map-style torch Dataset whose items are a picture and its class, of torchvision, Hugging Face or a user's own."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from src.data import progress, scratch
from src.data.raw import Raw
from src.data.sources import files, values
from src.data.splitting import SPLIT_NAMES
from src.errors import InputError

WHERE = "data.dataset.source"


class MapStyle(Protocol):
    """What torch calls a map-style data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class TorchDataset:
    """The items of one data set, or of one for each split, read one after the other.

    A picture is a Pillow image, an array of bytes (height, width) or (height, width, channels), or a tensor
    (channels, height, width) of bytes or of numbers from 0 to 1. Tensors may be arrays of numpy in the same form. All pictures
    have one size, which a transform of the data set gives them. The names of the classes are its attribute `classes`, or, of
    Hugging Face, those that its feature has.

    Args:
        dataset: all examples, those of the training, or several data sets by the names of their splits.
        val, test: those of the other splits; None leaves the choice to data.dataset.split.
        fields: the names of the picture and of its class, where an item has its parts by name.
        version: a number that the user changes when the examples have changed.
    """

    def __init__(
        self,
        *,
        dataset: MapStyle | Mapping[str, MapStyle],
        val: MapStyle | None = None,
        test: MapStyle | None = None,
        fields: Sequence[str] = ("image", "label"),
        version: int = 1,
    ):
        if len(fields) != 2:
            raise InputError(f"{WHERE}.fields: expected the names of the picture and of its class; received {[*fields]}.")
        stated = {"val": val, "test": test}
        others = {split: (split, part) for split, part in stated.items() if part is not None}
        if isinstance(dataset, Mapping):
            self._parts = _by_split(dataset, stated=[*others])
        else:
            self._parts = {"train": ("dataset", dataset), **others}
        self._fields = tuple(fields)
        self._version = version
        for name, part in self._parts.values():
            if not hasattr(part, "__getitem__") or not hasattr(part, "__len__"):
                raise InputError(
                    f"{WHERE}.{name}: expected a map-style torch Dataset, with __getitem__ and __len__; received "
                    f"{type(part).__name__}. Give it both."
                )
            if not len(part):
                raise InputError(f"{WHERE}.{name}: expected at least one example; {type(part).__name__} has none.")

    def state(self) -> str:
        parts = [(split, len(part), *_stored(part)) for split, (_, part) in self._parts.items()]
        return f"{self._version} {self._fields} {parts}"

    def read(self) -> Raw:
        counts = [len(part) for _, part in self._parts.values()]
        ends = dict(zip(self._parts, np.cumsum(counts).tolist(), strict=True))
        total = sum(counts)
        image, target = np.empty(0, dtype=np.uint8), scratch.empty((total,), np.int64)
        items = ((name, part, number) for name, part in self._parts.values() for number in range(len(part)))
        with progress.shown(total, what="items", least=progress.MANY) as update:
            for row, (name, part, number) in enumerate(items):
                pixels, label = self._item(name, part, number)
                if not row:
                    image = scratch.empty((total, *pixels.shape), np.uint8)
                if pixels.shape != image.shape[1:]:
                    raise InputError(
                        f"{WHERE}.{name}: expected pictures of one size, {values.shown(image.shape[1:])} as the first; item "
                        f"{number} has {values.shown(pixels.shape)}. Give the data set a transform that resizes and crops."
                    )
                image[row], target[row] = pixels, label
                if not row % max(1, scratch.CHUNK // pixels.nbytes):
                    scratch.release(image)
                update(1)
        if target.min() < 0:
            raise InputError(f"{WHERE}: expected classes from 0; received {target.min()}. Number them from 0.")
        return Raw(
            arrays={"image": image, "target": target},
            classes=values.named(target, self._classes(), WHERE),
            splits={
                split: np.arange(end - count, end)
                for (split, end), count in zip(ends.items(), counts, strict=True)
                if split != "train"
            },
            origin=type(self._parts["train"][1]).__name__,
        )

    def _item(self, name: str, part: MapStyle, number: int) -> tuple[np.ndarray, int]:
        """The picture of an item as bytes (channels, height, width), and its class."""
        where = f"{WHERE}.{name}: item {number} of {type(part).__name__}"
        try:
            item = part[number]
        except Exception as error:  # of the user's own code, for data of the user's own
            raise InputError(
                f"{where} cannot be read: {type(error).__name__}: {error}. Correct it, or leave it out."
            ) from error
        if isinstance(item, Mapping):
            if not {*self._fields} <= {*item}:
                raise InputError(
                    f"{where}: expected the fields {' and '.join(self._fields)}; received {', '.join(map(str, item))}. Name "
                    f"the picture and its class: {WHERE}.fields=[picture,class]."
                )
            item = [item[field] for field in self._fields]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"{where}: expected a pair of a picture and a class; received {type(item).__name__}.")
        picture, label = item
        try:
            value = float(label)
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: expected a class as a whole number; received {label!r}.") from error
        if not value.is_integer():
            raise InputError(f"{where}: expected a class as a whole number; received {value:g}.")
        return _pixels(picture, where), int(value)

    def _classes(self) -> list[str]:
        """The names that the data set states; none where it states none."""
        part = self._parts["train"][1]
        features = getattr(part, "features", None)  # of Hugging Face: by the names of an item's fields
        feature = features.get(self._fields[1]) if isinstance(features, Mapping) else None
        return [str(name) for name in getattr(part, "classes", None) or getattr(feature, "names", None) or []]


def _by_split(parts: Mapping[str, MapStyle], *, stated: Sequence[str]) -> dict[str, tuple[str, MapStyle]]:
    """The data sets by split, each with its key for messages.

    Args:
        stated: the splits that the configuration gives data sets of their own.

    Raises:
        InputError: there is no training split, another name than that of a split, or one split twice.
    """
    splits = [SPLIT_NAMES.get(str(name).lower(), "") for name in parts]
    if "train" not in splits or "" in splits or len({*splits, *stated}) < len(splits) + len(stated):
        more = f", and {' and '.join(f'{WHERE}.{split}' for split in stated)}" if stated else ""
        raise InputError(
            f"{WHERE}.dataset: expected the data sets of train, and perhaps of val and test, each once; received "
            f"{', '.join(map(str, parts)) or 'none'}{more}. Choose or rename them in a function of your own."
        )
    return {split: (f"dataset[{name}]", part) for split, (name, part) in zip(splits, parts.items(), strict=True)}


def _stored(part: MapStyle) -> Iterator[str]:
    """The state of the files that a data set of Hugging Face names as its own."""
    for file in getattr(part, "cache_files", None) or []:
        path = Path(file["filename"])
        yield files.state(path.parent, [path])


def _pixels(picture: Any, where: str) -> np.ndarray:
    """A picture as bytes (channels, height, width).

    Raises:
        InputError: it is none, or its values are neither bytes nor numbers from 0 to 1.
    """
    from PIL.Image import Image  # only where pictures are read

    if isinstance(picture, Image) and not picture.mode.startswith(("I", "F")):  # palettes and transparency are no channels
        picture = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    is_tensor = hasattr(picture, "detach")
    array = picture.detach().cpu().numpy() if is_tensor else np.asarray(picture)
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and not is_tensor and array.shape[2] in values.CHANNELS:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or 0 in array.shape or (not is_tensor and array.shape[0] not in values.CHANNELS):
        raise InputError(f"{where}: expected a picture; received {type(picture).__name__} of shape {list(array.shape)}.")
    return values.as_bytes(array, where)
