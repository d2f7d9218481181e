"""What every task says of its problem, and what most of them say alike."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from src.errors import InputError
from src.optimization.loop import Loop
from src.protocols import Batch, Mix, Move


class Task(Loop):
    """A learning problem: what the loss is, what is measured, and what is predicted."""

    primary_output: str  # the name of the output of `predict` that an exported model gives
    loss_decreases = True  # whether the loss falls while the model becomes better
    parts: Sequence[str] = ("",)  # that learn in turn within a training step, by the beginnings of their parameters' names

    @abstractmethod
    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        """Outputs by name for preprocessed input, `primary_output` among them; the first dimension is the example."""

    def forward_for_flops(self, input: Tensor) -> Any:
        """One pass of preprocessed input through the network, whose operations are its cost."""
        return self.model(input)

    @property
    def scoring(self) -> nn.Module:
        """The network whose outputs the number of a predicted class counts, for what explains one of them."""
        return self.model

    def turn(self, part: str, batch: Batch) -> Tensor:
        """The mean loss by which a part learns from a preprocessed batch, while the others stay as they are."""
        return self.step(batch).loss

    def mix(self, target: Any, mix: Mix) -> Any:
        """The target of mixed examples, as `step` then finds it in a batch. For a task whose targets can be mixed."""
        raise InputError(
            f"augmentation: expected a task whose targets can be mixed; {type(self).__name__} does not say how. "
            "Leave out what mixes examples (mixup, cutmix)."
        )

    def move(self, target: Any, move: Move) -> Any:
        """The target of moved pictures; another one only for a task whose targets lie over the pictures."""
        return target

    def augmented(self, batch: Batch) -> Batch:
        """A batch as it is trained on: changed at random where the run augments, and preprocessed."""
        if self._augmentation is None:
            return batch._replace(input=self.preprocess(batch.input))
        input, changes = self._augmentation(batch.input)
        target: Any = batch.target
        for change in changes:
            target = self.mix(target, change) if isinstance(change, Mix) else self.move(target, change)
        return batch._replace(input=self.preprocess(input), target=target)

    def validated(self, batch: Batch) -> Batch:
        """A batch as a validation sees it: as it is stored, and preprocessed, where the task needs nothing else."""
        return batch._replace(input=self.preprocess(batch.input))
