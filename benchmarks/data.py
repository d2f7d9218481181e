"""Images of MNIST's shape: Fashion-MNIST where it is at hand, else synthetic ones with a class to be learned."""

import os
from pathlib import Path

import numpy as np

from src.data.raw import Raw

CONF = Path(__file__).parent / "conf"


class Synthetic:
    """Noisy pictures of ten random patterns.

    Args:
        examples: how many.
    """

    def __init__(self, examples: int):
        self.examples = examples

    def state(self) -> str:
        return str(self.examples)

    def read(self) -> Raw:
        rng = np.random.default_rng(0)
        target = rng.integers(10, size=self.examples)
        patterns = rng.integers(0, 128, (10, 1, 28, 28), dtype=np.uint8)
        image = rng.integers(0, 128, (self.examples, 1, 28, 28), dtype=np.uint8)
        image += patterns[target]
        return Raw(arrays={"image": image, "target": target}, classes=list("0123456789"), origin="synthetic")


def synthetic(examples: int, *, test: int = 10_000) -> list[str]:
    """The arguments of a command line that choose so many synthetic examples in all, 5,000 of them to validate."""
    return [
        f"--config-dir={CONF}",
        "data=synthetic",
        f"data.dataset.source.examples={examples}",
        f"data.dataset.split.test={test}",
    ]


def usual() -> list[str]:
    """The arguments that choose 55,000 examples to train on, 5,000 to validate and 10,000 to test."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    if "DATA_CACHE" not in os.environ and beside.is_dir():
        os.environ["DATA_CACHE"] = str(beside)
    return ["data=fashion_mnist"] if os.environ.get("DATA_CACHE") else synthetic(70_000)
