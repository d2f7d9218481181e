"""Loads pretrained weights into a network, all of them or some modules."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from src.errors import InputError
from src.optimization import parts

LISTED = 3  # names in a message
COUNTER = "num_batches_tracked"  # a buffer of batch normalisation that old files do not have


@torch.no_grad()
def initialize(
    network: nn.Module,
    pretrained: Mapping[str, Tensor],
    *,
    weights: str,
    include: Sequence[str] = (),
    reinitialize: Sequence[str] = (),
) -> None:
    """Copies pretrained weights into a network.

    Names are those of the network. A network with a single child module also accepts the weights of that module, and any
    network those of a module that has all of them.

    Args:
        pretrained: tensors by name.
        weights: the name that the configuration gives them, for messages.
        include: modules whose pretrained weights are loaded; all where none is named.
        reinitialize: modules of the network that keep their random weights, such as a head for other classes.

    Raises:
        InputError: the names or shapes do not fit the rest of the network.
    """
    if not isinstance(network, nn.Module):
        raise InputError(
            f"pretrained.weights={weights}: expected a network; {type(network).__name__} cannot load weights. Choose a "
            "network, or pretrained.weights=null."
        )
    state = network.state_dict()
    kept = set(parts.within(reinitialize, state, key="pretrained.reinitialize"))
    pretrained = _rename(network, pretrained)
    names = parts.within(include, pretrained, key="pretrained.include") if include else [*pretrained]
    loaded = {name: pretrained[name] for name in names if not any(parts.inside(name, module) for module in reinitialize)}
    _check(weights, {name: tensor for name, tensor in state.items() if name not in kept}, loaded, reinitialize)
    network.load_state_dict(loaded, strict=False)


def _rename(network: nn.Module, pretrained: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors by the names of the network, where they are those of its only child, or of a module that has all of them."""
    state = network.state_dict()
    if any(name in state for name in pretrained):
        return pretrained
    children = [name for name, _ in network.named_children()]
    within = [name for name, _ in network.named_modules() if name and all(f"{name}.{own}" in state for own in pretrained)]
    if not within and len(children) != 1:
        return pretrained
    module = within[0] if within else children[0]
    return {f"{module}.{name}": tensor for name, tensor in pretrained.items()}


def _check(weights: str, expected: Mapping[str, Tensor], loaded: Mapping[str, Tensor], reinitialize: Sequence[str]) -> None:
    if not loaded:
        raise InputError(
            f"pretrained.weights={weights}: expected weights to load; pretrained.include and pretrained.reinitialize leave "
            "none. Change one of the two."
        )
    differing = [name for name in expected if name in loaded and expected[name].shape != loaded[name].shape]
    if differing:
        name = differing[0]
        modules = dict.fromkeys([*reinitialize, *(name.rpartition(".")[0] or name for name in differing)])
        more = f", with {len(differing) - 1} more like it" if len(differing) > 1 else ""
        raise InputError(
            f"pretrained.weights={weights}: expected {name} of the network's shape {list(expected[name].shape)}; received "
            f"{list(loaded[name].shape)}{more}. Let it keep its random weights "
            f"(pretrained.reinitialize=[{','.join(modules)}]), or choose the same sizes."
        )
    missing = [name for name in expected if name not in loaded and not name.endswith(COUNTER)]
    if missing:
        raise InputError(
            f"pretrained.weights={weights}: expected all {len(expected)} weights of the network; {_listed(missing)} missing. "
            "Name the modules that keep their random weights (pretrained.reinitialize=[...]), or choose other weights."
        )
    unknown = [name for name in loaded if name not in expected]
    if unknown:
        raise InputError(
            f"pretrained.weights={weights}: expected only weights of this network; {_listed(unknown)} not in it. Name the "
            "modules to load (pretrained.include=[...]), or choose the model that the weights belong to."
        )


def _listed(names: Iterable[str]) -> str:
    first, *others = names
    listed = ", ".join([first, *others[: LISTED - 1]])
    return f"{1 + len(others)} ({listed}{', ...' if len(others) >= LISTED else ''}) {'are' if others else 'is'}"
