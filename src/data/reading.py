"""How a raw input becomes the stored fields of an example: in a prediction as it was in the preparation."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np


class Reader(ABC):
    """Reads one raw input of a modality.

    Attributes:
        suffixes: endings of the files that hold one raw input each. Where there are none, raw inputs are the rows of a table,
            as mappings of text by column, or lines of text.
        requires: installed packages that reading needs, besides numpy.
    """

    suffixes: Sequence[str] = ()
    requires: Sequence[str] = ()

    @abstractmethod
    def read(self, raw: Any) -> Mapping[str, np.ndarray]:
        """The stored fields by name. One with the same shape in all examples is (rows, ...), a ragged one (length, ...).

        An example has one row, or several where the store keeps it in pieces.

        Args:
            raw: where files hold the inputs, a Path, the bytes of a file, or an array.

        Raises:
            ValueError: it cannot be read. The message is the reason alone: expected ...; received ...
        """


Read: TypeAlias = tuple[str, Mapping[str, np.ndarray] | str]
"""A raw input's name, and its stored fields or the reason why it cannot be read."""


def read(reader: Reader, raw: Sequence[tuple[str, Any]]) -> list[Read]:
    """Some raw inputs with their names."""
    done: list[Read] = []
    for name, one in raw:
        try:
            done.append((name, reader.read(one)))
        except ValueError as error:
            done.append((name, str(error)))
    return done
