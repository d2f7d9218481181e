"""Recurrent networks that read a text and answer once."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from src.layers.recurrent import Kind, Recurrent
from src.layers.sequences import Pooling, pool
from src.value_types import Count, ShareBelowOne, Whole


class RecurrentClassifier(nn.Module):
    """Embeddings of the tokens, recurrent layers, and a linear layer of their states, pooled over the text.

    Shapes: `tokens` (batch, longest) and `length` (batch,) to (batch, num_outputs).

    Args:
        vocabulary: tokens that there are.
        padding: the token beyond the end of a text.
        kind: `rnn`, `lstm` or `gru`.
        size: of an embedding.
        width: of the state.
        bidirectional: whether a second network reads the text from its end.
        dropout: probability after the embedding, between layers, and before the last layer.
    """

    def __init__(
        self,
        *,
        vocabulary: Count,
        padding: Whole,
        kind: Kind,
        size: Count,
        width: Count,
        num_outputs: Count,
        layers: Count = 1,
        bidirectional: bool = True,
        pooling: Pooling = "max",
        dropout: ShareBelowOne = 0.5,
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size, padding_idx=padding)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = Recurrent(kind, size, width, layers=layers, bidirectional=bidirectional, dropout=dropout)
        self.classifier = nn.Linear(self.recurrent.width, num_outputs)
        self._pooling = pooling
        nn.init.normal_(self.embedding.weight, std=0.1)  # torch's own, 1, moves by little in a step of Adam
        with torch.no_grad():
            self.embedding.weight[padding] = 0

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        lengths = input["length"]
        states = self.recurrent(self.dropout(self.embedding(input["tokens"])), lengths)
        return self.classifier(self.dropout(pool(states, lengths, self._pooling)))
