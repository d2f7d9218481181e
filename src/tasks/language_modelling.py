"""The token that follows each token of a text."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from src.decoding import Extend
from src.protocols import Batch, Outcome
from src.tasks.continuing import Continuing

NONE = -1  # in place of a token that does not count
PIECE = 16_384  # tokens whose logits are in memory at once in a prediction


class LanguageModelling(Continuing):
    """Cross-entropy in nats, as a mean over tokens. It predicts the loss of each token.

    An input has `tokens`, those that follow each (`following`), and the bytes of the latter (`bytes`), each (batch, tokens).
    The network gets the first alone, and gives logits, (batch, tokens, vocabulary). The target is `following` too.
    """

    primary_output = "logits"
    model_attributes = ("extend", "context")

    @property
    def context(self) -> int | None:
        context = self.model.context
        return context if isinstance(context, int) else None

    def extend(self, tokens: Tensor, state: object) -> tuple[Tensor, object]:
        return cast(Extend, self.model.extend)(tokens, state)

    def units(self, batch: Batch) -> Tensor:
        return (batch.target != NONE).sum()

    def step(self, batch: Batch) -> Outcome:
        """The prediction is the loss of each token, and the target has the tokens and their bytes, (batch, tokens, 2)."""
        losses = _losses(self.model(batch.input["tokens"]), batch.target)
        loss = losses.sum() / (batch.target != NONE).sum().clamp(min=1)
        return Outcome(loss, losses, torch.stack([batch.target, batch.input["bytes"]], dim=2))

    def measure(self, outcome: Outcome) -> Mapping[str, Tensor]:
        tokens, sizes = outcome.target.unbind(dim=2)
        return {"nats": outcome.prediction.double().sum(), "tokens": (tokens != NONE).sum(), "bytes": sizes.sum()}

    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        nats = sums["nats"]
        return {"perplexity": (nats / sums["tokens"]).exp(), "bits_per_byte": nats / math.log(2) / sums["bytes"]}

    def forward_for_flops(self, input: Any) -> object:
        return self.model(input["tokens"])

    def predict(self, input: Any) -> Mapping[str, Tensor]:
        """The loss of each token, 0 where it does not count, and how many tokens and bytes count.

        Of tokens alone, as an exported model gets them, it is the logits.
        """
        tokens = input["tokens"]
        if "following" not in input:
            return {"logits": self.model(tokens).float()}
        following = input["following"]
        together = max(1, PIECE // tokens.shape[1])
        pieces = zip(tokens.split(together), following.split(together), strict=True)
        return {
            "loss": torch.cat([_losses(self.model(one), other) for one, other in pieces]),
            "tokens": (following != NONE).sum(dim=1),
            "bytes": input["bytes"].sum(dim=1),
        }


def _losses(logits: Tensor, following: Tensor) -> Tensor:
    """The cross-entropy of each token, (batch, tokens)."""
    flat = cross_entropy(logits.flatten(0, 1).float(), following.flatten().long(), ignore_index=NONE, reduction="none")
    return flat.view_as(following)
