"""What ends a command in a way that its user can mend; each kind has its documented exit code."""


class Stop(Exception):
    """Ends a command with its message alone, without a traceback."""

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
    """One of the processes of a training is gone, which says nothing of the training itself."""
