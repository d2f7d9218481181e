"""Errors that end a command with a message for its user; each kind has its documented exit code."""


class Stop(Exception):
    """Ends a command with its message, without a traceback."""

    code = 1


class InputError(Stop, ValueError):
    """Wrong input. The message says what was expected, what came, and the remedy."""

    code = 2


class InUse(Stop):
    """Another living process holds what this command needs."""

    code = 3


class RunFailed(Stop, RuntimeError):
    """The run cannot go on: a loss that is not a number, a full disk."""

    code = 1


class ProcessLost(RunFailed):
    """A process of a training is lost. The training itself may be sound."""


def check_counts(*, least: int = 1, optional: bool = False, **counts: int | None) -> None:
    """Refuses counts of the trainer's settings that are not whole numbers.

    Args:
        least: the smallest count.
        optional: whether None is a value too.
        counts: by the names of the settings.

    Raises:
        ValueError: a count is too small, or no whole number.
    """
    for name, count in counts.items():
        if not (optional and count is None) and (type(count) is not int or count < least):
            null = ", or null" if optional else ""
            raise ValueError(f"trainer.{name}: expected a whole number from {least}{null}; received {count}.")
