"""The encoder of an autoencoder with a linear head, for classification or contrastive learning."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.encoder_decoder import encoder
from src.value_types import Count


class EncoderWithHead(nn.Module):
    """An encoder with the layers and the names of an autoencoder's, and a linear head on its latents.

    Shapes: (batch, *input_shape) to (batch, num_outputs).

    Args:
        channels, hidden, latent_size: those of the autoencoder.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[Count],
        hidden: Sequence[Count],
        latent_size: Count,
        num_outputs: Count,
        channels: Sequence[Count] = (),
    ):
        super().__init__()
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(latent_size, num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))
