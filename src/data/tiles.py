"""Square tiles of pictures that are larger than what a network takes: cut, put back, and blended where they overlap."""

import numpy as np

from src.errors import InputError


def cut(picture: np.ndarray, *, size: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """All tiles, and where each begins, as (top, left).

    The last tile of a line ends where the picture ends, so that nothing is padded.

    Args:
        picture: shape (..., height, width).
        stride: between the beginnings of neighbours; below `size` they overlap.

    Raises:
        InputError: the picture is smaller than a tile.
    """
    height, width = picture.shape[-2:]
    if min(height, width) < size:
        raise InputError(
            f"expected pictures of at least {size}x{size} pixels; received {height}x{width}. Set data.tile to at most "
            f"{min(height, width)}, or enlarge the picture."
        )
    corners = [(top, left) for top in _begins(height, size, stride) for left in _begins(width, size, stride)]
    tiles = [picture[..., top : top + size, left : left + size] for top, left in corners]
    return np.stack(tiles), np.array(corners, dtype=np.int32)


class Canvas:
    """A whole picture that tiles are put on.

    Where they overlap, each counts by its distance from its own border, at which a network sees least of what is around.
    """

    def __init__(self, *, height: int, width: int):
        self._shape = (height, width)
        self._weight = np.zeros((height, width), dtype=np.float32)
        self._sums: dict[str, np.ndarray] = {}

    def put(self, tiles: dict[str, np.ndarray], *, top: int, left: int) -> None:
        """Maps of one tile by name, each of shape (..., size, size)."""
        size = next(iter(tiles.values())).shape[-1]
        weight = _weights(size)
        place = (..., slice(top, top + size), slice(left, left + size))
        for name, tile in tiles.items():
            if name not in self._sums:
                self._sums[name] = np.zeros((*tile.shape[:-2], *self._shape), dtype=np.float32)
            self._sums[name][place] += tile * weight
        self._weight[place] += weight

    def means(self) -> dict[str, np.ndarray]:
        """The blended maps of the whole picture, which the tiles must have covered."""
        assert self._weight.all(), "a part of the picture has no tile"
        return {name: total / self._weight for name, total in self._sums.items()}


def pasted(tiles: np.ndarray, corners: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """The picture that tiles were cut from, shape (..., height, width)."""
    size = tiles.shape[-1]
    whole = np.zeros((*tiles.shape[1:-2], height, width), dtype=tiles.dtype)
    for tile, (top, left) in zip(tiles, corners, strict=True):
        whole[..., top : top + size, left : left + size] = tile
    return whole


def _begins(length: int, size: int, stride: int) -> list[int]:
    last = length - size
    return [*range(0, last, stride), last]


def _weights(size: int) -> np.ndarray:
    """The product of each pixel's distances from the nearer borders, from above 0 to 1."""
    line = np.minimum(np.arange(size), np.arange(size)[::-1]) + 1
    return (np.outer(line, line) / line.max() ** 2).astype(np.float32)
