"""Random pictures as a raw data set, for tests that need no real one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.data.raw import Raw


class Arrays:
    """A source that has its arrays already: pictures, and a class for each."""

    def __init__(self, image: np.ndarray, target: np.ndarray, *, num_classes: int = 3, **rest: Any):
        classes = [f"class {i}" for i in range(num_classes)]
        self.raw = Raw(arrays={"image": image, "target": target}, classes=classes, origin="a test", **rest)

    def state(self) -> str:
        return "a test"

    def read(self) -> Raw:
        return self.raw


def noise(
    count: int, *, shape: Sequence[int] = (1, 8, 8), num_classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Random pictures, brighter the higher their class, and the classes."""
    rng = np.random.default_rng(seed)
    target = np.arange(count, dtype=np.int64) % num_classes
    image = rng.integers(0, 128, (count, *shape)) + (target * (127 // num_classes)).reshape(-1, 1, 1, 1)
    return image.astype(np.uint8), target
