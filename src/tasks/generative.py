"""Tasks whose networks make examples: from latents, or from random numbers."""

from abc import abstractmethod

from torch import Tensor

from src.tasks.base import Task


class Generative(Task[object]):
    """A task that makes examples from latents."""

    calls_parts = True

    @abstractmethod
    def generate(self, latents: Tensor) -> Tensor:
        """Examples for latents, (batch, latent_size): pixels from 0 to 1, (batch, channels, height, width)."""


class SamplesPrior(Generative):
    """A task that makes latents, and by them examples, from random numbers too."""

    @abstractmethod
    def sample(self, noise: Tensor) -> Tensor:
        """Examples for standard normal numbers, (batch, latent_size): pixels from 0 to 1, (batch, channels, height, width)."""
