"""Any map-style torch Dataset whose items are a picture and its class, of torchvision or of a user's own."""

from typing import Any, Protocol

import numpy as np

from src.data.raw import Raw
from src.data.sources import values
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
    have one size, which a transform of the data set gives them. The names of the classes are its attribute `classes`, where it
    has one.

    Args:
        dataset: all examples, or those of the training.
        val, test: those of the other splits; None leaves the choice to data.dataset.split.
        version: a number that the user changes when the examples have changed.
    """

    def __init__(self, *, dataset: MapStyle, val: MapStyle | None = None, test: MapStyle | None = None, version: int = 1):
        parts = {"dataset": dataset, "val": val, "test": test}
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._version = version
        for name, part in self._parts.items():
            if not hasattr(part, "__getitem__") or not hasattr(part, "__len__"):
                raise InputError(
                    f"{WHERE}.{name}: expected a map-style torch Dataset, with __getitem__ and __len__; received "
                    f"{type(part).__name__}. Give it both."
                )
            if not len(part):
                raise InputError(f"{WHERE}.{name}: expected at least one example; {type(part).__name__} has none.")

    def state(self) -> str:
        return f"{self._version} {[len(part) for part in self._parts.values()]}"

    def read(self) -> Raw:
        total = sum(map(len, self._parts.values()))
        image, target = np.empty(0, dtype=np.uint8), np.empty(total, dtype=np.int64)
        splits: dict[str, np.ndarray] = {}
        row = 0
        for name, part in self._parts.items():
            first = row
            for number in range(len(part)):
                pixels, label = self._item(name, part, number)
                if not row:
                    image = np.empty((total, *pixels.shape), dtype=np.uint8)
                if pixels.shape != image.shape[1:]:
                    raise InputError(
                        f"{WHERE}.{name}: expected pictures of one size, {values.shown(image.shape[1:])} as the first; item "
                        f"{number} has {values.shown(pixels.shape)}. Give the data set a transform that resizes and crops."
                    )
                image[row], target[row] = pixels, label
                row += 1
            if name != "dataset":
                splits[name] = np.arange(first, row)
        if target.min() < 0:
            raise InputError(f"{WHERE}: expected classes from 0; received {target.min()}. Number them from 0.")
        return Raw(
            arrays={"image": image, "target": target},
            classes=self._classes(int(target.max()) + 1),
            splits=splits,
            origin=type(self._parts["dataset"]).__name__,
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

    def _classes(self, count: int) -> list[str]:
        """The names that the data set states, else numbers."""
        stated = [str(name) for name in getattr(self._parts["dataset"], "classes", [])]
        return stated if len(stated) >= count else [str(number) for number in range(count)]


def _pixels(picture: Any, where: str) -> np.ndarray:
    """A picture as bytes (channels, height, width).

    Raises:
        InputError: it is none, or its values are neither bytes nor numbers from 0 to 1.
    """
    is_tensor = hasattr(picture, "detach")
    array = picture.detach().cpu().numpy() if is_tensor else np.asarray(picture)
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and not is_tensor and array.shape[2] in values.CHANNELS:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"{where}: expected a picture; received {type(picture).__name__} of shape {list(array.shape)}.")
    return values.as_bytes(array, where)
