"""What a foreign file may hold: an object whose unpickling makes a folder."""

import os
from collections.abc import Callable
from pathlib import Path


class Payload:
    """Unpickling it makes a folder.

    Args:
        marker: the folder.
    """

    def __init__(self, marker: Path):
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self._marker,)
