"""What every task says of its learning problem, with defaults for what most tasks have in common."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, NotRequired, TypedDict, TypeVar

from torch import Tensor, nn

from src.errors import InputError
from src.optimization.settings import Optimization
from src.optimization.training_module import TrainingModule
from src.protocols import Augmentation, Batch, Mix, Move

Target = TypeVar("Target")


class TaskArguments(TypedDict):
    """What every task is made from, besides its own settings.

    Args:
        preprocess: from stored inputs to what the model takes, on the device.
        augmentation: changes stored inputs at random; None for none.
    """

    model: nn.Module
    preprocess: nn.Module
    optimization: Optimization
    augmentation: NotRequired[Augmentation | None]


class Task(TrainingModule, Generic[Target]):
    """A learning problem: what the loss is, what is measured, and what is predicted. `Target` is the form of a batch's targets.

    Attributes:
        primary_output: the output of `predict` that an exported model gives.
        loss_decreases: whether the loss falls while the model becomes better.
        model_attributes: that the model must have, besides being callable.
        calls_parts: whether parts of the network are called alone, as a decoder.
    """

    primary_output: str
    loss_decreases = True
    model_attributes: Sequence[str] = ()
    calls_parts = False

    def __init__(
        self,
        *,
        model: nn.Module,
        preprocess: nn.Module,
        optimization: Optimization,
        augmentation: Augmentation | None = None,
    ):
        super().__init__(model=model, optimization=optimization)
        self.preprocess = preprocess
        self._augmentation = augmentation

    @abstractmethod
    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        """Outputs by name for preprocessed input, `primary_output` among them; the first dimension is the example."""

    def forward_for_flops(self, input: Tensor) -> object:
        """One pass of preprocessed input through the network. Its operations are the network's cost."""
        return self.model(input)

    @property
    def scoring(self) -> nn.Module:
        """The network from preprocessed input to one score a class, which explanations explain."""
        return self.model

    def part_loss(self, part: str, batch: Batch) -> Tensor:
        return self.step(batch).loss

    def mix(self, target: Target, mix: Mix) -> Target:
        """The target of mixed examples, as `step` gets it. A task whose targets can be mixed overrides this.

        Raises:
            InputError: the targets cannot be mixed.
        """
        raise InputError(
            f"augmentation: expected a task whose targets can be mixed; those of {type(self).__name__} cannot. Leave out the "
            "steps that mix examples (mixup, cutmix)."
        )

    def move(self, target: Target, move: Move) -> Target:
        """The target of moved pictures. It changes only where targets lie over the pictures, as masks do."""
        return target

    def augmented(self, batch: Batch) -> Batch:
        if self._augmentation is None:
            return batch._replace(input=self.preprocess(batch.input))
        if not isinstance(batch.input, Tensor):
            raise InputError("augmentation: expected inputs of one field, such as images; these have several. Leave it out.")
        input, changes = self._augmentation(batch.input)
        target = batch.target
        for change in changes:
            target = self.mix(target, change) if isinstance(change, Mix) else self.move(target, change)
        return batch._replace(input=self.preprocess(input), target=target)

    def validated(self, batch: Batch) -> Batch:
        return batch._replace(input=self.preprocess(batch.input))
