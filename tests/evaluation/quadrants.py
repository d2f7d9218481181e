"""Images in which a bright square lies in one quadrant, and a network that predicts which one."""

import torch
from torch import nn

SIDE, SQUARE = 16, 4


class Quadrants(nn.Module):
    """Predicts in which quadrant of the image the bright square lies. Its weights are set by hand."""

    def __init__(self, *, channels: int = 1, inplace: bool = False):
        super().__init__()
        self.first = nn.Conv2d(channels, 2, 3, padding=1, bias=False)
        self.second = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.rectify = nn.ReLU(inplace=inplace)
        self.pool = nn.AvgPool2d(SIDE // 2)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, images):
        return self.pool(self.rectify(self.second(self.rectify(self.first(images))))).sum(dim=1).flatten(1)


def squares(channels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image for each quadrant with a bright square in it, which quadrant it is, and where the square and its rim lie."""
    images, near = torch.zeros(4, channels, SIDE, SIDE), torch.zeros(4, SIDE, SIDE, dtype=torch.bool)
    for quadrant in range(4):
        top, left = 2 + quadrant // 2 * SIDE // 2, 2 + quadrant % 2 * SIDE // 2
        images[quadrant, :, top : top + SQUARE, left : left + SQUARE] = 1
        near[quadrant, top - 2 : top + SQUARE + 2, left - 2 : left + SQUARE + 2] = True
    return images, torch.arange(4), near
