"""Every module of tests comes after src, whose import helps libraries that others import."""

import src  # noqa: F401
