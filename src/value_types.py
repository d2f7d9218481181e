"""Types of settings with their ranges, and the check of a value against one of them.

The annotation of a constructor's argument and the table of the configuration's keys (src/config/schema.py) use the same types.
"""

import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin


@dataclass(frozen=True)
class Range:
    """Limits of a number, or of the length of a text.

    Args:
        open_low, open_high: whether the limit itself lies outside.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.open_low else number >= self.low
        return above and (number < self.high if self.open_high else number <= self.high)

    def __str__(self) -> str:
        low = f"above {_plain(self.low)}" if self.open_low else f"from {_plain(self.low)}"
        if math.isinf(self.high):
            return "" if math.isinf(self.low) else low
        return f"{low} up to {'but not including ' if self.open_high else ''}{_plain(self.high)}"


@dataclass(frozen=True)
class Pattern:
    """The form of a text.

    Args:
        regex: of the whole text.
        description: what messages say of it.
    """

    regex: str
    description: str

    def __contains__(self, text: object) -> bool:
        return re.fullmatch(self.regex, str(text)) is not None

    def __str__(self) -> str:
        return self.description


Whole = Annotated[int, Range(0)]
Count = Annotated[int, Range(1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, open_low=True)]
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, open_high=True)]
Text = Annotated[str, Range(1)]
# Of a folder or a file: it leads nowhere else. A run's folder adds some characters, and file systems take 255.
Name = Annotated[
    str | int,
    Pattern(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", "a name of 1 to 100 letters, digits and ._- without a dot in front"),
]

NUMBERS = {int: "a whole number", float: "a number"}


def mismatch(value: object, hint: Any) -> str | None:
    """What the type expects, where the value does not fit it; None where it fits.

    Only what a configuration can hold is checked: numbers, texts, lists and groups of keys. Any other type takes every value.
    """
    return None if _fits(value, hint) else _expected(hint)


def _fits(value: object, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, arguments[0]) and all(_within(value, limit) for limit in arguments[1:])
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if hint in (None, type(None)):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return type(value) is int
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    if hint is str:
        return isinstance(value, str)
    if _is(origin or hint, Sequence):
        return isinstance(value, list | tuple) and all(_fits(one, arguments[0]) for one in value if arguments)
    if _is(origin or hint, Mapping):
        return isinstance(value, Mapping) and all(_fits(one, arguments[1]) for one in value.values() if arguments)
    return True


def _within(value: Any, limit: object) -> bool:
    if isinstance(limit, Range):
        return (len(value) if isinstance(value, str) else value) in limit
    return not isinstance(limit, Pattern) or value in limit


def _expected(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if patterns := [str(limit) for limit in arguments[1:] if isinstance(limit, Pattern)]:
            return " and ".join(patterns)
        limits = " and ".join(str(limit) for limit in arguments[1:] if isinstance(limit, Range) and str(limit))
        if arguments[0] is str:
            return (
                f"text of {limits.removeprefix('from ').replace('up to', 'to')} characters"
                if "up to" in limits
                else "text that is not empty"
            )
        return f"{_expected(arguments[0])} {limits}".strip()
    if origin in (Union, types.UnionType):
        return ", or ".join(dict.fromkeys(_expected(one) for one in arguments))
    if origin is Literal:
        shown = dict.fromkeys(_shown(one) for one in arguments)
        return f"one of {', '.join(shown)}" if len(shown) > 1 else next(iter(shown))
    names: dict[Any, str] = {None: "null", type(None): "null", bool: "true or false", str: "text", **NUMBERS}
    if hint in names:
        return names[hint]
    kind, one = ("a list", 0) if _is(origin or hint, Sequence) else ("a group of keys", 1)
    return f"{kind}, each {_expected(arguments[one])}" if arguments and arguments[one] is not Any else kind


def _is(kind: object, parent: type) -> bool:
    """Whether a type is a kind of Sequence or Mapping, and no text."""
    return isinstance(kind, type) and issubclass(kind, parent) and not issubclass(kind, str | bytes)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
