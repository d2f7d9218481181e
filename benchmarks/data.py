"""Images of MNIST's shape: Fashion-MNIST where it is at hand, else synthetic ones with a class to be learned."""

import os
from functools import cache
from pathlib import Path

import numpy as np

from src import assembly, command
from src.data import store
from src.data.store import Prepared, Raw


class Synthetic:
    """70,000 noisy pictures of ten random patterns."""

    def state(self) -> str:
        return "synthetic"

    def read(self) -> Raw:
        rng = np.random.default_rng(0)
        target = rng.integers(10, size=70_000)
        patterns = rng.integers(0, 128, (10, 1, 28, 28))
        image = (patterns[target] + rng.integers(0, 128, (70_000, 1, 28, 28))).astype(np.uint8)
        names = [str(number) for number in range(10)]
        return Raw(arrays={"image": image, "target": target.astype(np.int64)}, classes=names, origin="synthetic")


@cache
def prepared() -> Prepared:
    """55,000 examples to train on, 5,000 to validate, 10,000 to test."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    if "DATA_CACHE" not in os.environ and beside.is_dir():
        os.environ["DATA_CACHE"] = str(beside)
    if os.environ.get("DATA_CACHE"):
        return assembly.prepare(command.configure(["data=fashion_mnist"]))
    split = {"val": 5000, "test": 10_000, "seed": 0}
    return store.prepare(Path("data/prepared/synthetic"), Synthetic(), name="synthetic", split=split, max_duplicates=1.0)
