"""Parts of a network, by the beginnings of its weights' names: `features` has `features.0.weight`, not `features2.weight`."""

from collections.abc import Iterable

from src.errors import InputError


def inside(name: str, part: str) -> bool:
    """Whether a name lies in a part."""
    return name == part or name.startswith(f"{part}.")


def within(parts: Iterable[str], names: Iterable[str], *, key: str) -> list[str]:
    """The names that lie in one of the parts, in their own order.

    Args:
        key: of the configuration, for messages.

    Raises:
        InputError: no name lies in a part.
    """
    parts, names = list(parts), list(names)
    for part in parts:
        if not any(inside(name, part) for name in names):
            known = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            raise InputError(
                f"{key}: expected the beginnings of weights' names, which are parts of {known}; received {part}, but no name "
                "begins so."
            )
    return [name for name in names if any(inside(name, part) for part in parts)]
