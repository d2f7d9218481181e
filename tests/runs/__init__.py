"""What tests of identities share."""

import importlib

from src.runs import closure, identity, modules


def forget() -> None:
    """Lets identity read every file again."""
    for remembered in (identity.tree, closure._closure, closure._graph, modules._module):
        remembered.cache_clear()
    importlib.invalidate_caches()
