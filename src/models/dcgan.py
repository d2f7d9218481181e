"""A deep convolutional generative adversarial network (Radford, Metz and Chintala 2016, arXiv:1511.06434)."""

from collections.abc import Sequence

from torch import nn
from torch.nn.utils import parametrizations

from src.value_types import Count


class DCGAN(nn.Module):
    """A generator and a discriminator with two strided convolutions each. A task calls the two separately.

    Shapes: the generator maps latents (batch, latent_size) to logits of pixels (batch, *input_shape). The
    discriminator maps pictures to one logit each (batch, 1).

    Args:
        input_shape: channels, height and width; at least 4x4 pixels.
        width: channels between the two convolutions of the discriminator; the generator has twice as many.
        spectral_norm: normalises the weights of the discriminator (Miyato et al. 2018, arXiv:1802.05957) instead of its
            batches.
    """

    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, *, input_shape: Sequence[Count], latent_size: Count, width: Count, spectral_norm: bool = False):
        super().__init__()
        channels, height, rows = input_shape
        if min(height, rows) < 4:
            raise ValueError(
                f"DCGAN: expected images of at least 4x4 pixels for its two halvings; received {height}x{rows}. "
                "Use larger images."
            )
        self.latent_size = latent_size
        half, quarter = (height // 2, rows // 2), (height // 4, rows // 4)
        self.generator = nn.Sequential(
            nn.Linear(latent_size, 4 * width * quarter[0] * quarter[1], bias=False),
            nn.Unflatten(1, (4 * width, *quarter)),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, output_padding=(half[0] % 2, half[1] % 2), bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, channels, 4, 2, 1, output_padding=(height % 2, rows % 2)),
        )
        bounded = parametrizations.spectral_norm if spectral_norm else _unbounded
        self.discriminator = nn.Sequential(
            bounded(nn.Conv2d(channels, width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            bounded(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=spectral_norm)),
            *([] if spectral_norm else [nn.BatchNorm2d(2 * width)]),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            bounded(nn.Linear(2 * width * quarter[0] * quarter[1], 1)),
        )
        for module in (self.generator if spectral_norm else self).modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)


def _unbounded(layer: nn.Module) -> nn.Module:
    return layer
