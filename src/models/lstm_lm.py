"""A language model of LSTM layers (Zaremba et al. 2014, arXiv:1409.2329)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from src.layers.recurrent import Recurrent
from src.value_types import Count, ShareBelowOne

State = tuple[Tensor, Tensor]
"""The hidden states and the cells of all layers, (layers, batch, width)."""


class LSTMLM(nn.Module):
    """Embeddings of the tokens, LSTM layers from the left to the right, and the logits of the token that follows each one.

    Shapes: (batch, tokens) to (batch, tokens, vocabulary). An input begins with a state of zeros.

    Args:
        vocabulary: tokens that there are.
        width: of an embedding and of the state.
        layers: of the LSTM.
        dropout: probability after the embeddings, between layers, and before the last layer.
        tied: whether the last layer has the weights of the embeddings (Press and Wolf 2017, arXiv:1608.05859).
    """

    context = None  # it reads a text of any length

    def __init__(self, *, vocabulary: Count, width: Count, layers: Count = 2, dropout: ShareBelowOne = 0.0, tied: bool = True):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = Recurrent("lstm", width, width, layers=layers, dropout=dropout)
        self.head = None if tied else nn.Linear(width, vocabulary, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.dropout(self.embedding(tokens))
        if torch.compiler.is_exporting():  # by the layer that an exported program keeps for any length
            lengths = torch.full_like(tokens[:, 0], tokens.shape[1], dtype=torch.int64)
            return self._logits(self.recurrent(x, lengths))
        return self._logits(self.recurrent.network(x)[0])

    def extend(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The logits of the token that follows the last one, (batch, vocabulary), and the state after it.

        Args:
            tokens: that follow those of the state, (batch, tokens).
            state: after the tokens before; None at the beginning.
        """
        x, after = self.recurrent.network(self.dropout(self.embedding(tokens)), state)
        return self._logits(x[:, -1]), after

    def _logits(self, x: Tensor) -> Tensor:
        return linear(self.dropout(x), self.embedding.weight if self.head is None else self.head.weight, self.bias)
