"""The Vision Transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), by torchvision's class, for images of any size."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models import VisionTransformer

from src.value_types import Count, ShareBelowOne


class ViT(nn.Module):
    """Patches as tokens, a class token, learned position embeddings, and encoder blocks.

    The image is padded with zeros, which are mean pixels, to a square of whole patches.

    Shapes: (batch, channels, height, width) to (batch, num_outputs).

    Args:
        patch: side of a patch in pixels.
        depth: number of encoder blocks.
        width: of a token, a multiple of `heads`.
        hidden: units of the feed-forward layer of a block.
        dropout: probability after the attention and after the feed-forward layers.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[Count],
        patch: Count,
        depth: Count,
        width: Count,
        heads: Count,
        hidden: Count,
        num_outputs: Count,
        dropout: ShareBelowOne = 0.0,
    ):
        super().__init__()
        channels, height, rows = input_shape
        if min(patch, depth, heads) < 1 or width % heads:
            raise ValueError(
                f"ViT: expected patch, depth and heads of at least 1, and a width that is a multiple of heads; received "
                f"patch={patch}, depth={depth}, heads={heads}, width={width}."
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
        # torchvision's head starts with zeros, and would pass no gradient to the other layers in the first step.
        nn.init.trunc_normal_(self.network.heads.head.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(pad(x, self.border) if any(self.border) else x)
