"""An encoder of the class of BERT (Devlin et al. 2019, arXiv:1810.04805), with the normalisation before each layer."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from src.layers.sequences import Pooling, inside, pool
from src.value_types import Count, ShareBelowOne, Whole


class BERT(nn.Module):
    """Embeddings of tokens and of places, encoder blocks, and a linear layer of their states, pooled over the text.

    Shapes: `tokens` (batch, longest) and `length` (batch,) to (batch, num_outputs).

    Args:
        vocabulary: tokens that there are.
        padding: the token beyond the end of a text.
        longest: places that there are, for as many tokens as a text may have.
        depth: number of encoder blocks.
        width: of a token, a multiple of `heads`.
        hidden: units of the feed-forward layer of a block.
        dropout: probability after the embeddings, the attention and the feed-forward layers.
    """

    def __init__(
        self,
        *,
        vocabulary: Count,
        padding: Whole,
        longest: Count,
        depth: Count,
        width: Count,
        heads: Count,
        hidden: Count,
        num_outputs: Count,
        pooling: Pooling = "mean",
        dropout: ShareBelowOne = 0.1,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"model.width: expected a multiple of model.heads={heads}; received {width}.")
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=padding)
        self.places = nn.Embedding(longest, width)
        block = nn.TransformerEncoderLayer(width, heads, hidden, dropout, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(block, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_outputs)
        self._pooling = pooling
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.places.weight, std=0.02)
        with torch.no_grad():
            self.embedding.weight[padding] = 0

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        tokens, lengths = input["tokens"], input["length"]
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.dropout(self.embedding(tokens) + self.places(places))
        x = self.encoder(x, src_key_padding_mask=~inside(tokens, lengths))
        return self.classifier(self.dropout(pool(x, lengths, self._pooling)))
