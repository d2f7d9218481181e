"""A decoder of the class of GPT-2 (Radford et al. 2019), with the settings of karpathy/nanoGPT."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from src.value_types import Count, ShareBelowOne

Cache = tuple[Tensor, Tensor]
"""The keys and values of one block, (batch, heads, tokens, width / heads)."""


class GPT(nn.Module):
    """Embeddings of tokens and of places, blocks of causal attention, and the logits of the token that follows each one.

    Shapes: (batch, tokens) to (batch, tokens, vocabulary).

    Args:
        vocabulary: tokens that there are.
        context: places that there are: the most tokens of an input.
        depth: number of blocks.
        width: of a token, a multiple of `heads`.
        dropout: probability after the embeddings, in the attention, and after each half of a block.
        tied: whether the last layer has the weights of the embeddings (Press and Wolf 2017, arXiv:1608.05859).
        bias: whether linear layers and normalisations have a bias, as in GPT-2.
    """

    def __init__(
        self,
        *,
        vocabulary: Count,
        context: Count,
        depth: Count,
        width: Count,
        heads: Count,
        dropout: ShareBelowOne = 0.0,
        tied: bool = True,
        bias: bool = False,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"model.width: expected a multiple of model.heads={heads}; received {width}.")
        self.context = context
        self.embedding = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout=dropout, bias=bias) for _ in range(depth))
        self.norm = nn.LayerNorm(width, bias=bias)
        self.head = None if tied else nn.Linear(width, vocabulary, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:  # what is added to the residual stream is smaller, the more blocks add to it
                nn.init.normal_(parameter, std=0.02 / (2 * depth) ** 0.5 if "out" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        return self._logits(self._states(tokens, [None] * len(self.blocks))[0])

    def extend(self, tokens: Tensor, state: Sequence[Cache] | None) -> tuple[Tensor, Sequence[Cache]]:
        """The logits of the token that follows the last one, (batch, vocabulary), and the keys and values of all blocks.

        Args:
            tokens: that follow those of the state, (batch, tokens); together they are no more than `context`.
            state: of the tokens before; None at the beginning.
        """
        x, caches = self._states(tokens, state or [None] * len(self.blocks))
        return self._logits(x[:, -1]), caches

    def _states(self, tokens: Tensor, caches: Sequence[Cache | None]) -> tuple[Tensor, list[Cache]]:
        before = caches[0][0].shape[2] if caches[0] is not None else 0
        places = torch.arange(before, before + tokens.shape[1], device=tokens.device)
        x, own = self.dropout(self.embedding(tokens) + self.places(places)), []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, extended = block(x, cache)
            own.append(extended)
        return x, own

    def _logits(self, x: Tensor) -> Tensor:
        return linear(self.norm(x), self.embedding.weight if self.head is None else self.head.weight)


class _Block(nn.Module):
    """Causal attention, then a feed-forward network, each on normalised input and added to it."""

    def __init__(self, width: int, heads: int, *, dropout: float, bias: bool):
        super().__init__()
        self._heads, self._dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(width, bias=bias)
        self.attention = nn.Linear(width, 3 * width, bias=bias)
        self.attention_out = nn.Linear(width, width, bias=bias)
        self.network_norm = nn.LayerNorm(width, bias=bias)
        self.network = nn.Linear(width, 4 * width, bias=bias)
        self.network_out = nn.Linear(4 * width, width, bias=bias)
        self.gelu, self.dropout = nn.GELU(), nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        parts = self.attention(self.attention_norm(x)).chunk(3, dim=2)
        query, key, value = (part.unflatten(2, (self._heads, -1)).transpose(1, 2) for part in parts)
        mask = None
        if cache is not None:
            key, value = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)
            mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=x.device).tril(cache[0].shape[2])
        dropout = self._dropout if self.training else 0.0
        mixed = scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout, is_causal=cache is None)
        x = x + self.dropout(self.attention_out(mixed.transpose(1, 2).flatten(2)))
        x = x + self.dropout(self.network_out(self.gelu(self.network(self.network_norm(x)))))
        return x, (key, value)
