"""A value against a type with a range, and what the message expects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest

from src.value_types import Count, Name, NonNegative, Positive, Share, ShareBelowOne, Whole, mismatch


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, Count),
        (0, Whole),
        (3, NonNegative),
        (1e-9, Positive),
        (1.0, Share),
        (0, ShareBelowOne),
        (None, Count | None),
        ([], Sequence[Count]),
        ((1, 2), Sequence[Count]),
        ({"a": 1.5}, Mapping[str, Positive] | None),
        ("max", Literal["min", "max"]),
        ("a", Name),
        (True, bool),
        (object(), Any),
        (3, Callable[[], int]),
    ],
)
def test_what_fits(value, hint):
    assert mismatch(value, hint) is None


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (0, Count, "a whole number from 1"),
        (1.0, Count, "a whole number from 1"),
        (True, Count, "a whole number from 1"),
        (float("nan"), NonNegative, "a number from 0"),
        (float("inf"), float, "a number"),
        (0, Positive, "a number above 0"),
        (1, ShareBelowOne, "a number from 0 up to but not including 1"),
        ("3", Count | None, "a whole number from 1, or null"),
        ([1, 0], Sequence[Count], "a list, each a whole number from 1"),
        ("ab", Sequence[str], "a list, each text"),
        ({"a": 0}, Mapping[str, Positive], "a group of keys, each a number above 0"),
        (1, Literal[True], "true"),
        ("up", Literal["min", "max"], "one of min, max"),
        ("", Name, "a name of 1 to 100 letters, digits and ._- without a dot in front"),
        (None, Mapping[str, Any], "a group of keys"),
    ],
)
def test_what_does_not_fit(value, hint, expected):
    assert mismatch(value, hint) == expected
