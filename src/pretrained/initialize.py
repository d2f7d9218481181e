"""Loads pretrained weights into a network, all of them or some parts."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from src.errors import InputError
from src.optimization import parts

SHOWN = 3  # names in a message
COUNTER = "num_batches_tracked"  # of a batch normalisation, which files of older times lack


@torch.no_grad()
def initialize(
    network: nn.Module,
    found: Mapping[str, Tensor],
    *,
    weights: str,
    include: Sequence[str] = (),
    reinitialize: Sequence[str] = (),
) -> None:
    """Puts weights that were found into a network with fresh ones.

    Names are those of the network. A network that does nothing but hold another one takes the weights of that one too.

    Args:
        weights: where they were found, for messages.
        include: the parts of what was found that are taken; all of it where none is named.
        reinitialize: the parts of the network that stay fresh, such as a head for other classes.

    Raises:
        InputError: what was found does not fit the rest of the network by names and shapes.
    """
    if not isinstance(network, nn.Module):
        raise InputError(
            f"pretrained.weights={weights}: expected a network; {type(network).__name__} has no weights to begin with."
        )
    own = network.state_dict()
    fresh = set(parts.within(reinitialize, own, key="pretrained.reinitialize"))
    found = _of(network, found)
    taken = parts.within(include, found, key="pretrained.include") if include else [*found]
    given = {name: found[name] for name in taken if not any(parts.inside(name, part) for part in reinitialize)}
    _check(weights, {name: tensor for name, tensor in own.items() if name not in fresh}, given, reinitialize)
    network.load_state_dict(given, strict=False)


def _of(network: nn.Module, found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What was found, by the names of the network."""
    inner = [name for name, _ in network.named_children()]
    if len(inner) != 1 or any(parts.inside(name, inner[0]) for name in found):
        return found
    return {f"{inner[0]}.{name}": tensor for name, tensor in found.items()}


def _check(weights: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor], reinitialize: Sequence[str]) -> None:
    if not given:
        raise InputError(
            f"pretrained.weights={weights}: expected weights that the network takes; nothing of them is left to take."
        )
    differing = [name for name in own if name in given and own[name].shape != given[name].shape]
    if differing:
        name = differing[0]
        heads = dict.fromkeys([*reinitialize, *(name.rpartition(".")[0] or name for name in differing)])
        more = f", with {len(differing) - 1} more like it" if len(differing) > 1 else ""
        raise InputError(
            f"pretrained.weights={weights}: expected {name} of the network's shape {list(own[name].shape)}; received "
            f"{list(given[name].shape)}{more}. Let it keep its random weights "
            f"(pretrained.reinitialize=[{','.join(heads)}]), or make the sizes agree."
        )
    missing = [name for name in own if name not in given and not name.endswith(COUNTER)]
    if missing:
        raise InputError(
            f"pretrained.weights={weights}: expected all {len(own)} weights of the network; {_some(missing)} missing. "
            "Name the parts that are to keep their random weights (pretrained.reinitialize=[...]), or other weights."
        )
    left = [name for name in given if name not in own]
    if left:
        raise InputError(
            f"pretrained.weights={weights}: expected weights of this network alone; {_some(left)} not in it. Name the "
            "parts to load (pretrained.include=[...]), or choose the model that they are of."
        )


def _some(names: Iterable[str]) -> str:
    first, *others = names
    shown = ", ".join([first, *others[: SHOWN - 1]])
    return f"{1 + len(others)} ({shown}{', ...' if len(others) >= SHOWN else ''}) {'are' if others else 'is'}"
