"""An autoencoder with wide, rectified latents, so that most of their values can be zero."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.encoder_decoder import decoder, encoder
from src.protocols import Reconstruction
from src.value_types import Count


class SparseAutoencoder(nn.Module):
    """Represents its input by a few of many learned features. A penalty of the task on the latents makes them few.

    Shapes: (batch, *input_shape) to outputs of the same shape and non-negative latents (batch, latent_size).
    """

    def __init__(self, *, input_shape: Sequence[Count], hidden: Sequence[Count], latent_size: Count):
        super().__init__()
        self.encoder = encoder(input_shape, channels=(), hidden=hidden, latent_size=latent_size).append(nn.ReLU())
        self.decoder = decoder(input_shape, channels=(), hidden=hidden, latent_size=latent_size)

    def forward(self, x: Tensor) -> Reconstruction:
        latent = self.encoder(x)
        return Reconstruction(output=self.decoder(latent), latent=latent)
