"""Random numbers for evaluations, which are the same each time."""

import torch
from torch import Tensor

STEPS = (-7046029254386353131, -4658895280553007687, -7723592293110705685)  # of SplitMix64, as signed numbers


def normal(examples: Tensor, size: int) -> Tensor:
    """Standard normal numbers, (batch, size). Those of an example depend on the example alone.

    The numbers of a generator would depend on the order of the examples and on the batches. Here SplitMix64 (Steele, Lea and
    Flood 2014) counts on from a hash of the example. All operations are tensor operations, which can be exported.
    """
    step, first, second = STEPS
    values = (examples.float() * 256).round().long().flatten(1)  # coarse: the last bits of devices differ
    hashed = (values * _mixed(torch.arange(1, values.shape[1] + 1, device=values.device) * step, first, second)).sum(dim=1)
    counted = hashed.unsqueeze(1) + torch.arange(1, size + 1, device=values.device) * step
    uniform = ((_mixed(counted, first, second) & (2**23 - 1)).float() + 0.5) / 2**23
    return 2**0.5 * torch.erfinv(2 * uniform - 1)


def _mixed(values: Tensor, first: int, second: int) -> Tensor:
    """SplitMix64's output for its states. The masks turn shifts of signed numbers into those of unsigned ones."""
    values = (values ^ ((values >> 30) & (2**34 - 1))) * first
    values = (values ^ ((values >> 27) & (2**37 - 1))) * second
    return values ^ ((values >> 31) & (2**33 - 1))
