"""What the callbacks of this platform add to Lightning's."""

from typing import TYPE_CHECKING

from lightning.pytorch import Callback

if TYPE_CHECKING:
    from src.tasks.base import Task


class TrainingCallback(Callback):
    """A callback that can refuse what it cannot work with.

    Attributes:
        in_optimizer_step: whether it is a part of each optimizer step. A search for a learning rate keeps these callbacks and
            leaves out all others, which wait for validations.
    """

    in_optimizer_step = False

    def check(self, task: "Task", *, processes: int) -> None:
        """Refuses a task or a network before anything of the run is written.

        Args:
            processes: that train the task together.

        Raises:
            InputError: the callback cannot do its part with this task.
        """
