"""Square tiles of pictures that are larger than the input of a network: cut, pasted together, and blended in overlaps."""

import numpy as np

from src.errors import InputError


def cut(picture: np.ndarray, *, size: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """All tiles, and the top and left of each.

    The last tile of a line ends at the border of the picture. Nothing is padded.

    Args:
        picture: shape (..., height, width).
        stride: between the beginnings of neighbours; tiles overlap where it is smaller than `size`.

    Raises:
        InputError: the picture is smaller than a tile.
    """
    height, width = picture.shape[-2:]
    if min(height, width) < size:
        raise InputError(
            f"expected pictures of at least {size}x{size} pixels; received {height}x{width}. Set data.tile to at most "
            f"{min(height, width)}, or enlarge the picture."
        )
    corners = [(top, left) for top in _starts(height, size, stride) for left in _starts(width, size, stride)]
    tiles = [picture[..., top : top + size, left : left + size] for top, left in corners]
    return np.stack(tiles), np.array(corners, dtype=np.int32)


class Canvas:
    """A whole picture, blended from tiles.

    In an overlap a tile counts by the distance from its own border, where a network sees least of the surroundings.
    """

    def __init__(self, *, height: int, width: int):
        self._shape = (height, width)
        self._weight = np.zeros((height, width), dtype=np.float32)
        self._sums: dict[str, np.ndarray] = {}

    def add(self, tiles: dict[str, np.ndarray], *, top: int, left: int) -> None:
        """Adds the maps of one tile, by name, each of shape (..., size, size)."""
        size = next(iter(tiles.values())).shape[-1]
        weight = _weights(size)
        area = (..., slice(top, top + size), slice(left, left + size))
        for name, tile in tiles.items():
            if name not in self._sums:
                self._sums[name] = np.zeros((*tile.shape[:-2], *self._shape), dtype=np.float32)
            self._sums[name][area] += tile * weight
        self._weight[area] += weight

    def means(self) -> dict[str, np.ndarray]:
        """The blended maps of the whole picture. The tiles must cover it."""
        assert self._weight.all(), "an area of the picture has no tile"
        return {name: total / self._weight for name, total in self._sums.items()}


def paste(tiles: np.ndarray, corners: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """The picture that the tiles were cut from, shape (..., height, width)."""
    size = tiles.shape[-1]
    whole = np.zeros((*tiles.shape[1:-2], height, width), dtype=tiles.dtype)
    for tile, (top, left) in zip(tiles, corners, strict=True):
        whole[..., top : top + size, left : left + size] = tile
    return whole


def _starts(length: int, size: int, stride: int) -> list[int]:
    last = length - size
    return [*range(0, last, stride), last]


def _weights(size: int) -> np.ndarray:
    """The product of each pixel's distances from the nearer borders, from above 0 to 1."""
    line = np.minimum(np.arange(size), np.arange(size)[::-1]) + 1
    return (np.outer(line, line) / line.max() ** 2).astype(np.float32)
