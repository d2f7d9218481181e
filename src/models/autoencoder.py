"""An autoencoder (Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647), fully connected or convolutional."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.coding import decoder, encoder
from src.protocols import Reconstruction


class Autoencoder(nn.Module):
    """Squeezes its input through a code and builds it up again by the mirrored layers.

    Shapes: (batch, *input_shape) to an output of the same shape and a code of (batch, code).

    Args:
        channels: of convolutions that each halve the picture, before the linear layers; none for a dense network.
        hidden: of the linear layers.
    """

    def __init__(self, *, input_shape: Sequence[int], hidden: Sequence[int], code: int, channels: Sequence[int] = ()):
        super().__init__()
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, code=code)
        self.decoder = decoder(input_shape, channels=channels, hidden=hidden, code=code)

    def forward(self, x: Tensor) -> Reconstruction:
        code = self.encoder(x)
        return Reconstruction(output=self.decoder(code), code=code)
