"""Prepared data sets of random pictures, for the tests of how they are prepared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.data import store
from src.data.raw import Raw, Source
from src.data.store import Prepared
from tests.pictures import Arrays, noise

SPLIT = {"val": 0.2, "test": 0.25, "seed": 0}


class InMemory:
    """A source of a raw data set that exists already."""

    def __init__(self, raw: Raw):
        self.raw = raw

    def state(self) -> str:
        return ""

    def read(self) -> Raw:
        return self.raw


def prepare(folder: Path, source: Source | None = None, *, split: Mapping[str, Any] = SPLIT, **settings: Any) -> Prepared:
    """By default 120 examples of three classes, without copies in two splits."""
    source = source or Arrays(*noise(120))
    return store.prepare(folder, source, name="noise", split=split, **{"max_duplicates": 0.0, **settings})


def pieces(*, copies: int = 0, **stated: Any) -> InMemory:
    """Twelve pictures in five pieces each. The first piece of all pictures is equal.

    Args:
        copies: pictures that are copies of another one.
    """
    image, target = noise(60)
    image[::5] = 7
    group = np.repeat(np.arange(12), 5)
    for number in range(copies):
        image[group == 11 - number] = image[group == number]
    names = [f"picture {number}" for number in range(12)]
    return InMemory(Raw({"image": image, "target": target, "group": group}, classes=["a", "b", "c"], groups=names, **stated))
