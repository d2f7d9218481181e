"""What is learned of the training part before a data set is stored: a vocabulary, categories, a scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from src.data.raw import Raw


class Transform(ABC):
    """Turns what a source reads into what a store keeps. A reader of raw inputs makes it again from its state."""

    @abstractmethod
    def fit(self, raw: Raw, rows: np.ndarray) -> None:
        """Learns from some rows, those of the training split. It must look at no others."""

    @abstractmethod
    def apply(self, raw: Raw) -> Raw:
        """The data with the arrays that are stored, and with the facts that follow from what was learned. Rows stay rows."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """What was learned, as plain values. The card keeps it, and a reader gets it by the names of its arguments."""


def fitted(raw: Raw, rows: np.ndarray) -> Raw:
    """The data as they are stored.

    Args:
        rows: of the training split.
    """
    assert raw.transform is not None, "the source states one"
    raw.transform.fit(raw, rows)
    stored = raw.transform.apply(raw)
    return replace(stored, reading={**stored.reading, **raw.transform.state()})
