"""A small convolutional network."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.value_types import Count, ShareBelowOne


class CNN(nn.Module):
    """Two 3x3 convolutions with batch normalisation and pooling, then two fully connected layers.

    Shapes: (batch, channels, height, width) to (batch, num_outputs).

    Args:
        input_shape: channels, height and width; at least 4x4 pixels for the two poolings.
        width: channels of the first convolution; the second has twice as many.
        dropout: probability before each fully connected layer.
    """

    def __init__(self, *, input_shape: Sequence[Count], width: Count, num_outputs: Count, dropout: ShareBelowOne = 0.25):
        super().__init__()
        channels, height, rows = input_shape
        if min(height, rows) < 4:
            raise ValueError(
                f"CNN: expected images of at least 4x4 pixels for its two poolings; received {height}x{rows}. "
                "Choose model=fnn, or use larger images."
            )
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.MaxPool2d(2),
            nn.ReLU(),  # after the pooling: the same values at a quarter of the cost
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * width * (height // 4) * (rows // 4), 128),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(128, num_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        # Flattens in the order of channels-last memory. Any other order would copy the features and their gradients.
        return self.classifier(self.features(x).permute(0, 2, 3, 1).flatten(1))
