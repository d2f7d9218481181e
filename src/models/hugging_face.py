"""Networks of the library transformers, of any architecture that it has, from the texts of a batch to scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from src.errors import InputError
from src.layers.sequences import inside
from src.value_types import Count, Whole


class HuggingFace(nn.Module):
    """A classifier of texts by the class that transformers has for the architecture, with random weights.

    Shapes: `tokens` (batch, longest) and `length` (batch,) to (batch, num_outputs).

    Args:
        name: where the architecture comes from, for messages.
        architecture: what config.json says.
        vocabulary: tokens that there are.
        longest: tokens that a text may have.
    """

    def __init__(
        self,
        *,
        name: str,
        architecture: Mapping[str, Any],
        vocabulary: Count,
        padding: Whole,
        longest: Count,
        num_outputs: Count,
    ):
        super().__init__()
        from transformers import AutoConfig, AutoModelForSequenceClassification

        config = AutoConfig.for_model(**{**architecture, "num_labels": num_outputs, "pad_token_id": padding})
        self._check(name, "vocab_size", vocabulary, getattr(config, "vocab_size", None), "tokens of the tokenizer", "tokenizer")
        places = getattr(config, "max_position_embeddings", None)
        self._check(name, "max_position_embeddings", longest, places, "tokens of a text", "max_tokens")
        try:
            self.network = AutoModelForSequenceClassification.from_config(config)
        except ValueError as error:
            raise InputError(
                f"model.name={name}: expected an architecture that classifies texts; transformers has no such class for "
                f"{architecture['model_type']}. Choose another model."
            ) from error

    @staticmethod
    def _check(name: str, key: str, needed: int, has: int | None, what: str, setting: str) -> None:
        if has is not None and needed > has:
            raise InputError(
                f"model.name={name}: expected {what} of at most {has} ({key} in config.json); received {needed}. Choose "
                f"another model, or data.{setting}."
            )

    def forward(self, input: Mapping[str, Tensor]) -> Tensor:
        mask = inside(input["tokens"], input["length"]).long()
        scores: Tensor = self.network(input_ids=input["tokens"].long(), attention_mask=mask).logits
        return scores
