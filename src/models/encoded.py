"""A classifier on the encoder of an autoencoder, which may have learned to code before, without any labels."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.coding import encoder


class Encoded(nn.Module):
    """The encoder, and a linear head on its code.

    Shapes: (batch, *input_shape) to (batch, num_outputs).

    Args:
        channels, hidden, code: as of the autoencoder.
    """

    def __init__(
        self, *, input_shape: Sequence[int], hidden: Sequence[int], code: int, num_outputs: int, channels: Sequence[int] = ()
    ):
        super().__init__()
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, code=code)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(code, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))
