"""A variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114), fully connected or convolutional."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.coding import decoder, encoder
from src.protocols import Reconstruction


class VAE(nn.Module):
    """Gives each input a normal distribution of codes, and builds it up again from one of them.

    Shapes: (batch, *input_shape) to an output of the same shape, which nothing bounds, and the mean and the log variance of
    the code, (batch, code) each.

    Args:
        channels: of convolutions that each halve the picture, before the linear layers; none for a dense network.
        hidden: of the linear layers.
    """

    def __init__(self, *, input_shape: Sequence[int], channels: Sequence[int], hidden: Sequence[int], code: int):
        super().__init__()
        self.code = code
        self.encoder = encoder(input_shape, channels=channels, hidden=hidden, code=2 * code)
        self.decoder = decoder(input_shape, channels=channels, hidden=hidden, code=code)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Reconstruction:
        """The code that is decoded lies `noise` standard deviations from the mean, or at the mean without noise."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        code = mean if noise is None else mean + noise * (log_variance / 2).exp()
        return Reconstruction(output=self.decoder(code), code=mean, log_variance=log_variance)
