"""Pictures of a disc and a square on a noisy ground, with masks, written as PNG files as a user has them."""

from pathlib import Path

import numpy as np
from PIL import Image

LABELS = {0: "ground", 100: "disc", 200: "square"}


def drawn(number: int, *, height: int = 40, width: int = 56) -> tuple[np.ndarray, np.ndarray]:
    """Grey pixels and the mask's values, shapes (height, width)."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), dtype=np.uint8)
    top, left = rng.integers(2, height - 14), rng.integers(2, width - 14)
    mask[top : top + 12, left : left + 12] = 200
    radius = rng.integers(5, 9)
    centre = rng.integers(radius, height - radius), rng.integers(radius, width - radius)
    mask[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2] = 100
    pixels = rng.normal(60, 15, mask.shape) + np.where(mask == 100, 70, 0) + np.where(mask == 200, 130, 0)
    return pixels.clip(0, 255).astype(np.uint8), mask


def write(root: Path, count: int = 12, **size: int) -> Path:
    """`count` pairs, images/<number>.png and masks/<number>.png."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels, mask = drawn(number, **size)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root
