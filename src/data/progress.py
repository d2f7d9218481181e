"""How far a long preparation is: a bar where there is a terminal, and else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERVAL = 60.0  # seconds between two lines
MANY = 200  # items that one process reads, from which on a user should see how far they are


@contextmanager
def shown(total: int, *, what: str, interval: float = INTERVAL, least: int = 0) -> Iterator[Callable[[int], object]]:
    """A block that says how many are done; it gets a function for how many more they are.

    Args:
        what: is counted, in the plural.
        interval: seconds between two lines where there is no terminal.
        least: a smaller total is not shown.
    """
    if total < least:
        yield lambda number: None
        return
    if sys.stderr.isatty():
        from tqdm import tqdm  # only where a bar is drawn

        with tqdm(total=total, unit=f" {what}", file=sys.stderr, leave=False, dynamic_ncols=True) as bar:
            yield bar.update
        return
    done, began = 0, time.monotonic()
    due = began + interval

    def update(number: int) -> None:
        nonlocal done, due
        done += number
        if (now := time.monotonic()) >= due:
            due = now + interval
            rate = done / (now - began)
            left = (total - done) / rate
            print(f"data: {done:,} of {total:,} {what}, {rate:,.0f} a second, {left:,.0f} s left", file=sys.stderr, flush=True)

    yield update
