"""The convolutional network for sentences (Kim 2014, arXiv:1408.5882)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from src.layers.sequences import pool
from src.value_types import Count, Positive, ShareBelowOne, Whole


class TextCNN(nn.Module):
    """Convolutions of several widths over the embeddings of the tokens, and the largest value of each map over the text.

    Shapes: `tokens` (batch, longest) and `length` (batch,) to (batch, num_outputs).

    Args:
        vocabulary: tokens that there are.
        padding: the token beyond the end of a text.
        size: of an embedding.
        widths: of the convolutions, in tokens.
        maps: of each width.
        dropout: probability before the last layer.
        max_norm: the largest norm of the weights of an output; None for no limit.
    """

    def __init__(
        self,
        *,
        vocabulary: Count,
        padding: Whole,
        size: Count,
        widths: Sequence[Count],
        maps: Count,
        num_outputs: Count,
        dropout: ShareBelowOne = 0.5,
        max_norm: Positive | None = None,
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size, padding_idx=padding)
        self.convolutions = nn.ModuleList(nn.Conv1d(size, maps, width) for width in widths)
        self._widths = [*widths]
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(maps * len(widths), num_outputs)
        self._padding, self._max_norm = padding, max_norm
        nn.init.uniform_(self.embedding.weight, -0.25, 0.25)
        with torch.no_grad():
            self.embedding.weight[padding] = 0

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        embedded, lengths = self.embedding(input["tokens"]).transpose(1, 2), input["length"]
        maps = []
        for convolution, width in zip(self.convolutions, self._widths, strict=True):
            border = width - 1  # a text shorter than a convolution has places for it too
            found = convolution(pad(embedded, (border, border))).relu()
            maps.append(pool(found.transpose(1, 2), lengths + border, "max"))
        features = self.dropout(torch.cat(maps, dim=1))
        if self._max_norm is None:
            return self.classifier(features)
        weight = self.classifier.weight
        norm = weight.norm(dim=1, keepdim=True)
        return linear(features, weight * (self._max_norm / norm.clamp(min=self._max_norm)), self.classifier.bias)
