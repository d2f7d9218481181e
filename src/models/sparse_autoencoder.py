"""An autoencoder whose code is wide and rectified, so that most of its numbers can be zero."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.layers.coding import decoder, encoder
from src.protocols import Reconstruction


class SparseAutoencoder(nn.Module):
    """Reads its input as a sum of few of many learned parts; a task's penalty on the code makes them few.

    Shapes: (batch, *input_shape) to an output of the same shape and a code of (batch, code), which is never negative.
    """

    def __init__(self, *, input_shape: Sequence[int], hidden: Sequence[int], code: int):
        super().__init__()
        self.encoder = encoder(input_shape, channels=(), hidden=hidden, code=code).append(nn.ReLU())
        self.decoder = decoder(input_shape, channels=(), hidden=hidden, code=code)

    def forward(self, x: Tensor) -> Reconstruction:
        code = self.encoder(x)
        return Reconstruction(output=self.decoder(code), code=code)
