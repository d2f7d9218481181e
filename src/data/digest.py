"""The short digest by which equal examples are found."""

import hashlib
from functools import partial

new = partial(hashlib.blake2b, digest_size=12)
"""Makes an object with `update` and `digest`, as hashlib's own."""


def of_text(content: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(content.encode()).hexdigest()


def of(content: bytes | memoryview) -> bytes:
    """Twelve bytes that only equal contents share."""
    return new(content).digest()
