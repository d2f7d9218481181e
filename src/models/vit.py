"""The Vision Transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), by torchvision's class, for images of any size."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models import VisionTransformer


class ViT(nn.Module):
    """Patches as tokens, a token for the class, a learned place for each, and encoder blocks.

    The image is filled up with zeros, the mean pixel, to a square of whole patches.

    Shapes: (batch, channels, height, width) to (batch, num_outputs).

    Args:
        patch: side of a patch in pixels.
        depth: encoder blocks.
        width: of a token; `heads` divide it.
        hidden: units between the two layers of a block's feed-forward part.
        dropout: probability after each part of a block.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        patch: int,
        depth: int,
        width: int,
        heads: int,
        hidden: int,
        num_outputs: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        channels, height, rows = input_shape
        if min(patch, depth, heads) < 1 or width % heads:
            raise ValueError(
                f"ViT: expected patch, depth and heads of at least 1, and heads that divide the width; received patch={patch}, "
                f"depth={depth}, heads={heads}, width={width}."
            )
        side = patch * -(-max(height, rows) // patch)
        self.border = (0, side - rows, 0, side - height)
        self.network = VisionTransformer(
            image_size=side,
            patch_size=patch,
            num_layers=depth,
            num_heads=heads,
            hidden_dim=width,
            mlp_dim=hidden,
            dropout=dropout,
            num_classes=num_outputs,
        )
        self.network.conv_proj = nn.Conv2d(channels, width, patch, stride=patch)
        # torchvision begins with a head of zeros, through which nothing else would get a gradient at the first step.
        nn.init.trunc_normal_(self.network.heads.head.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(pad(x, self.border) if any(self.border) else x)
