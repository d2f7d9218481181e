"""How an analysis tells the user what it skips."""

import sys


def skip(what: str, reason: str) -> None:
    """Prints what an analysis skips, and why."""
    print(f"{what}: skipped, because {reason}.", file=sys.stderr)
