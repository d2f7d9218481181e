"""A classifier on the encoder of an autoencoder, which may have been trained before, without labels."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.autoencoding import encoder


class Encoded(nn.Module):
    """The encoder, and a linear head on its latent.

    Shapes: (batch, *input_shape) to (batch, num_outputs).

    Args:
        channels, hidden, latent_size: as of the autoencoder.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        hidden: Sequence[int],
        latent_size: int,
        num_outputs: int,
        channels: Sequence[int] = (),
    ):
        super().__init__()
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(latent_size, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))
