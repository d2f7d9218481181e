"""An autoencoder (Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647), fully connected or convolutional."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.encoder_decoder import decoder, encoder
from src.protocols import Reconstruction
from src.value_types import Count


class Autoencoder(nn.Module):
    """Encodes its input to a latent and decodes the latent with mirrored layers.

    Shapes: (batch, *input_shape) to outputs of the same shape and latents (batch, latent_size).

    Args:
        channels: of the convolutions before the linear layers, each of which halves the picture; empty for a dense network.
        hidden: units of the hidden linear layers.
    """

    def __init__(
        self, *, input_shape: Sequence[Count], hidden: Sequence[Count], latent_size: Count, channels: Sequence[Count] = ()
    ):
        super().__init__()
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)
        self.decoder = decoder(input_shape, channels=channels, hidden=hidden, latent_size=latent_size)

    def forward(self, x: Tensor) -> Reconstruction:
        latent = self.encoder(x)
        return Reconstruction(output=self.decoder(latent), latent=latent)
