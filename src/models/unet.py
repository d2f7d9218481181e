"""U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.value_types import Count


class UNet(nn.Module):
    """An encoder that halves the picture and doubles the channels, and a decoder with skip connections at each size.

    Unlike the paper it pads its convolutions, so that the output is as large as the picture, and uses batch normalisation.

    Shapes: (batch, channels, height, width) to (batch, num_outputs, height, width).

    Args:
        input_shape: channels, height and width; height and width are multiples of 2**depth.
        width: channels at full size; 64 in the paper.
        depth: number of halvings; 4 in the paper.
    """

    def __init__(self, *, input_shape: Sequence[Count], width: Count, depth: Count, num_outputs: Count):
        super().__init__()
        channels, height, columns = input_shape
        step = 2**depth
        if height % step or columns % step:
            larger = "x".join(str(-(-length // step) * step) for length in (height, columns))
            raise ValueError(
                f"UNet: expected height and width that are multiples of {step}, for {depth} halvings, such as {larger} pixels; "
                f"received {height}x{columns}. Choose such a size (data.tile), or a smaller model.depth."
            )
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _convolutions(before, after) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(2 * size, size, 2, stride=2) for size in reversed(widths[:-1]))
        self.up = nn.ModuleList(_convolutions(2 * size, size) for size in reversed(widths[:-1]))
        self.halve = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, num_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.down[0](x)]
        for down in self.down[1:]:
            skips.append(down(self.halve(skips[-1])))
        x = skips.pop()
        for enlarge, up in zip(self.enlarge, self.up, strict=True):
            x = up(torch.cat([skips.pop(), enlarge(x)], dim=1))
        return self.head(x)


def _convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
