"""The short digest by which equal examples are found."""

import hashlib


def of(content: bytes | memoryview) -> bytes:
    """Twelve bytes that only equal contents share."""
    return hashlib.blake2b(content, digest_size=12).digest()
