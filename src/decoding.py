"""How a text goes on: which token is chosen of the probabilities that a language model gives, one after the other."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Extend = Callable[[Tensor, object], tuple[Tensor, object]]
"""From tokens, (1, tokens), and the state of those before them, to the logits of the next one, (1, vocabulary), and a state."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Args:
        temperature: the logits are divided by it; 0 takes the most probable token.
        top_k: only so many of the most probable tokens; None for all.
        top_p: only the most probable tokens that together have this probability (Holtzman et al. 2020, arXiv:1904.09751).
        repetition_penalty: by how much tokens are less likely that the text has already (Keskar et al. 2019, arXiv:1909.05858).
        seed: of the draws.
        excluded: tokens that are never chosen.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0
    excluded: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature: expected a number from 0; received {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k: expected a number of tokens from 1; received {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected a probability above 0 and up to 1; received {self.top_p}.")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"repetition_penalty: expected a number above 0, 1 for none; received {self.repetition_penalty}.")


def generate(
    extend: Extend,
    prompt: Sequence[int],
    *,
    count: int,
    context: int | None,
    sampling: Sampling,
    device: torch.device | str = "cpu",
    cached: bool = True,
) -> Iterator[int]:
    """So many tokens that follow a prompt, one after the other.

    A model with a limited context reads the last tokens alone. Where the context is full, it begins again with its second half:
    the places of all tokens change, and what was computed for them is of no use. So this does not happen at each token.

    Args:
        prompt: at least one token.
        context: the most tokens that the model reads; None for no limit.
        cached: whether what was computed for earlier tokens is used again. The tokens are the same without, and take longer.
    """
    tokens, state, begin, done = [*prompt], None, 0, 0
    generator = torch.Generator().manual_seed(sampling.seed)
    for _ in range(count):
        own = window_start(len(tokens), context)
        if own != begin or state is None or not cached:
            state, begin, done = None, own, own
        logits, state = extend(torch.tensor([tokens[done:]], device=device), state)
        done = len(tokens)
        tokens.append(choose(logits[0].float().cpu(), tokens[begin:], sampling, generator))
        yield tokens[-1]


def window_start(total: int, context: int | None) -> int:
    """The first of so many tokens that a model with this context reads."""
    if context is None or total <= context:
        return 0
    step = max(1, context // 2)
    return -(-(total - context) // step) * step


def choose(logits: Tensor, before: Sequence[int], sampling: Sampling, generator: torch.Generator) -> int:
    """The next token.

    Args:
        logits: (vocabulary,).
        before: the tokens that a repetition penalty concerns.
    """
    logits = logits.clone()
    logits[[*sampling.excluded]] = -math.inf
    if sampling.repetition_penalty != 1:
        index = torch.tensor(sorted({*before}))
        own = logits[index]
        logits[index] = torch.where(own > 0, own / sampling.repetition_penalty, own * sampling.repetition_penalty)
    if sampling.temperature == 0:
        return int(logits.argmax())
    # The largest one is 0, so that a small temperature leaves numbers.
    logits, order = ((logits - logits.max()) / sampling.temperature).sort(descending=True, stable=True)
    if sampling.top_k is not None:
        logits[sampling.top_k :] = -math.inf
    share = logits.softmax(dim=0)
    share[share.cumsum(dim=0) - share >= sampling.top_p] = 0
    return int(order[torch.multinomial(share, 1, generator=generator)])
