"""Tasks whose networks say how a sequence of tokens goes on."""

from abc import abstractmethod

from torch import Tensor

from src.tasks.base import Task


class Continuing(Task[Tensor]):
    """A task that gives the token after some others."""

    @property
    @abstractmethod
    def context(self) -> int | None:
        """The most tokens that the network reads; None for no limit."""

    @abstractmethod
    def extend(self, tokens: Tensor, state: object) -> tuple[Tensor, object]:
        """The logits of the next token, (batch, vocabulary), and the state that stands for all tokens so far.

        Args:
            tokens: (batch, tokens), those after the tokens of the state.
            state: of an earlier call; None at the beginning.
        """
