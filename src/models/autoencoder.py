"""An autoencoder (Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647), fully connected or convolutional."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.autoencoding import decoder, encoder
from src.protocols import Reconstruction


class Autoencoder(nn.Module):
    """Squeezes its input through a latent and builds it up again by the mirrored layers.

    Shapes: (batch, *input_shape) to an output of the same shape and a latent of (batch, latent_size).

    Args:
        channels: of convolutions that each halve the picture, before the linear layers; none for a dense network.
        hidden: of the linear layers.
    """

    def __init__(self, *, input_shape: Sequence[int], hidden: Sequence[int], latent_size: int, channels: Sequence[int] = ()):
        super().__init__()
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)
        self.decoder = decoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)

    def forward(self, x: Tensor) -> Reconstruction:
        latent = self.encoder(x)
        return Reconstruction(output=self.decoder(latent), latent=latent)
