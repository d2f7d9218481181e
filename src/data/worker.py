"""A process of `worker_pool`: it gets a function from its parent, and then its arguments, one after the other."""

import os
import pickle
import sys
from typing import Any

PROTOCOL = 5  # the first by which arrays are not copied on the way


def main() -> None:
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        function = pickle.load(requests)
        while True:
            pickle.dump(_called(function, pickle.load(requests)), answers, PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):  # the parent has all that it wants, or is gone
        os._exit(0)


def _called(function: Any, item: Any) -> Any:
    try:
        return function(item)
    except Exception as error:  # it is raised in the parent
        import traceback

        error.add_note(traceback.format_exc())
        return error


if __name__ == "__main__":
    main()
