"""From stored pixels to what a network takes, and back."""

import numpy as np
import torch

from src.data.normalisation import Normalise


def test_pixels_come_back():
    stored = torch.randint(0, 256, (6, 2, 3, 3), dtype=torch.uint8)
    normalise = Normalise(mean=np.array([0.2, 0.5]), std=np.array([0.1, 0.3]))
    for pixels in (stored, stored.float()):
        assert torch.allclose(normalise.pixels(normalise(pixels)), stored / 255, atol=1e-6)
    assert normalise.pixels(torch.full((1, 2, 1, 1), -9.0)).flatten().tolist() == [0, 0]
