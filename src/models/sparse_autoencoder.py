"""An autoencoder whose latent is wide and rectified, so that most of its numbers can be zero."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.autoencoding import decoder, encoder
from src.protocols import Reconstruction


class SparseAutoencoder(nn.Module):
    """Reads its input as a sum of few of many learned parts; a task's penalty on the latent makes them few.

    Shapes: (batch, *input_shape) to an output of the same shape and a latent of (batch, latent_size), which is never negative.
    """

    def __init__(self, *, input_shape: Sequence[int], hidden: Sequence[int], latent_size: int):
        super().__init__()
        self.encoder = encoder(input_shape, channels=(), hidden=hidden, latent_size=latent_size).append(nn.ReLU())
        self.decoder = decoder(input_shape, channels=(), hidden=hidden, latent_size=latent_size)

    def forward(self, x: Tensor) -> Reconstruction:
        latent = self.encoder(x)
        return Reconstruction(output=self.decoder(latent), latent=latent)
