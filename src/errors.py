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
