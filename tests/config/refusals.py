"""Overrides that are refused."""

import pytest

from src.config.composition import compose
from src.errors import InputError


def refused(*overrides: str, **options) -> str:
    """The message, of one line, with which they are refused."""
    with pytest.raises(InputError) as caught:
        compose(overrides, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
