"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, doi:10.1109/5.726791)."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.value_types import Count


class LeNet(nn.Module):
    """Two 5x5 convolutions with average pooling, then three fully connected layers, with tanh between them.

    As in most modern versions, the second convolution is connected to all six channels of the first, and the output is linear.
    The first convolution pads by 2, so that 28x28 images fill the 32x32 input of the paper.

    Shapes: (batch, channels, height, width) to (batch, num_outputs).
    """

    def __init__(self, *, input_shape: Sequence[Count], num_outputs: Count):
        super().__init__()
        channels, height, width = input_shape
        rows, columns = ((size // 2 - 4) // 2 for size in (height, width))
        if min(rows, columns) < 1:
            raise ValueError(
                f"LeNet: expected images of at least 12x12 pixels for its two 5x5 convolutions; received {height}x{width}. "
                "Choose model=cnn or model=fnn, or use larger images."
            )
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * rows * columns, 120),
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
