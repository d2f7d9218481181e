"""The residual network for small images (He, Zhang, Ren and Sun 2016, arXiv:1512.03385, section 4.2)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from src.value_types import Count


class ResNet(nn.Module):
    """A convolution, stages of residual blocks, global average pooling, and one linear layer.

    Each stage after the first halves the image. Three stages of n blocks are the paper's network of 6n + 2 layers.

    Shapes: (batch, channels, height, width) to (batch, num_outputs).

    Args:
        widths: channels of each stage.
        blocks: of each stage.
    """

    def __init__(self, *, input_shape: Sequence[Count], widths: Sequence[Count], blocks: Count, num_outputs: Count):
        super().__init__()
        if not widths or blocks < 1:
            raise ValueError(f"ResNet: expected at least one width and one block; received {list(widths)} and {blocks}.")
        width = widths[0]
        layers: list[nn.Module] = [_convolution(input_shape[0], width), nn.BatchNorm2d(width), nn.ReLU()]
        for stage, wider in enumerate(widths):
            for number in range(blocks):
                layers.append(Block(width, wider, stride=2 if stage and not number else 1))
                width = wider
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class Block(nn.Module):
    """Two 3x3 convolutions, added to their input. A change of shape subsamples the input and adds zero channels."""

    def __init__(self, inputs: int, outputs: int, *, stride: int):
        super().__init__()
        self.stride, self.padding = stride, outputs - inputs
        if self.padding < 0:
            raise ValueError(f"ResNet: expected widths that do not decrease; received {outputs} after {inputs}.")
        self.convolutions = nn.Sequential(
            _convolution(inputs, outputs, stride=stride),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            _convolution(outputs, outputs),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]
        skip = pad(skip, (0, 0, 0, 0, 0, self.padding)) if self.padding else skip
        return relu(self.convolutions(x) + skip)


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution
