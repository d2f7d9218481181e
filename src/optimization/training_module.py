"""The LightningModule of every task: optimizer steps, validation, and metrics that stay on the device until an epoch ends."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from src.errors import InputError
from src.optimization import schedule
from src.optimization.alternating_updates import AlternatingUpdates
from src.optimization.averaging import AveragedWeights
from src.optimization.gradient_accumulation import MicroBatches, WholeBatches, loss_divisors
from src.optimization.metric_state import LossState, MetricState
from src.optimization.optimizer_step import OptimizerStep, share_buffers
from src.optimization.settings import Optimization
from src.protocols import Batch, Outcome

LOSS, UNITS = "loss of all units", "units"  # statistics of the validation, besides those of the task


class TrainingModule(LightningModule):
    """The optimization of a network.

    Lightning's loop hands over a block of batches, and one call of `training_step` takes one optimizer step for each of them:
    the cost of the loop is paid once a block. Hence the optimization is manual.

    Attributes:
        needs_in_batch_negatives: whether the loss compares the examples of a batch. Then those of one class should not come in
            sequence, and a batch cannot be split into micro-batches.
        parts: that are updated one after the other within a training step, by the beginnings of their parameters' names.
        training_batches: gives so many training batches, as they are validated.
    """

    needs_in_batch_negatives = False
    parts: Sequence[str] = ("",)

    def __init__(self, *, model: nn.Module, optimization: Optimization):
        super().__init__()
        if optimization.auto_micro_batch and self.needs_in_batch_negatives:
            raise InputError(
                "trainer.auto_micro_batch=true: expected a task whose loss is a mean over examples. The loss of this task "
                "compares the examples of a batch, and would be another one in micro-batches. Choose a smaller data.batch_size."
            )
        self.automatic_optimization = False
        self.model = model
        self.optimization = optimization
        self.divergence = optimization.divergence
        self.training_batches: Callable[[int], Iterable[Batch]] = lambda _: ()
        self._rates = schedule.rate_factors(optimization.rates, model)
        self._averaged_weights: AveragedWeights | None = None
        self._averaging_state: Mapping[str, Any] | None = None  # of a checkpoint
        self._micro_batch_size: int | None = None  # where memory was short
        self._losses = LossState(ignore_nan=self.divergence.checks_updates)
        self._metrics = MetricState()  # of the validation
        self.configure_optimizers()  # wrong settings are refused before a run begins

    @abstractmethod
    def step(self, batch: Batch) -> Outcome:
        """The loss and the prediction for a batch whose input is preprocessed."""

    def units(self, batch: Batch) -> Tensor | int:
        """How many units the loss of a stored batch is the mean of, (): examples by default.

        The loss of an optimizer step is the mean over the units of all its batches, in all processes. A batch without units has
        a loss that is a number, and counts in nothing.
        """
        return batch.size

    @abstractmethod
    def part_loss(self, part: str, batch: Batch) -> Tensor:
        """The mean loss, (), by which a part learns from a preprocessed batch, while the other parts stay as they are."""

    @abstractmethod
    def measure(self, outcome: Outcome) -> Mapping[str, Tensor | int]:
        """Statistics of a batch, by name, whose sums over an epoch `scores` needs. They are added up in float64."""

    @abstractmethod
    def scores(self, sums: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The metrics of an epoch, (), from the sums of what `measure` gives."""

    @abstractmethod
    def augmented(self, batch: Batch) -> Batch:
        """A stored batch as it is trained on: augmented and preprocessed."""

    @abstractmethod
    def validated(self, batch: Batch) -> Batch:
        """A stored batch as it is validated: preprocessed."""

    @property
    def recorded_step(self) -> int:
        """The optimizer step as the record counts it: steps before the training went back to a checkpoint count too."""
        return self.global_step + self.divergence.step_offset

    def configure_optimizers(self) -> Any:
        groups = schedule.parameter_groups(self.named_parameters(), self._rates)
        return schedule.optimizer_and_schedule(groups, self.optimization)

    def transfer_batch_to_device(self, batch: Sequence[Batch], device: torch.device, dataloader_idx: int) -> Sequence[Batch]:
        if device.type == "cpu":
            return batch  # nothing to move: Lightning would walk through every tensor of the block
        return [one.to(device) for one in batch]

    def on_train_start(self) -> None:
        settings = self.optimization
        self._losses.to(self.device)
        factors = [1.0, *self._rates.values()]
        self._optimizer_step = OptimizerStep(self, settings.gradient_clip_val, self.divergence, factors)
        whole, size = WholeBatches(self, self._optimizer_step, parts=len(self.parts)), self._micro_batch_size
        micro = partial(MicroBatches, whole, self, units=self.units, size=size, on_change=self._use_micro_batches)
        self._updates = AlternatingUpdates(
            self,
            self.parts,
            lambda part, batch: self.part_loss(part, self.augmented(batch)),
            optimizer_step=self._optimizer_step,
            batching=micro() if settings.auto_micro_batch else whole,
        )
        if settings.averaging is not None:  # the model has the weights of the checkpoint by now
            state, self._averaging_state = self._averaging_state, None
            self._averaged_weights = AveragedWeights(
                settings.averaging, self.model, total_steps=settings.total_steps, state=state
            )

    def release_weights(self) -> None:
        """Forgets everything that holds weights of the last fit, for a strategy that shards them."""
        self._optimizer_step = self._updates = self._averaged_weights = None  # type: ignore[assignment]

    def training_step(self, block: Sequence[Batch], block_index: int) -> None:
        share_buffers(self.trainer, self.model)
        together, every = self.optimization.accumulate_grad_batches, self.optimization.log_every_n_steps
        step, end = self.global_step, self.trainer.max_steps
        units = [self.units(batch) if batch.real else 0 for batch in block]
        divisors, losses = loss_divisors(self.trainer, units, together), list[Tensor]()
        for first in range(0, len(block), together):
            if 0 <= end <= step:
                break
            new = self._updates(block[first : first + together], divisors[first : first + together], step + 1)
            losses += new
            self._losses.add(new)
            step += 1
            if self._averaged_weights is not None:
                self._averaged_weights.update(step)
            schedule.after_step(self.trainer)
            if step % every == 0:
                mean = self._reduce(self._losses.recent_mean(), "mean")
                self._log({"train/loss": mean, "train/lr": self._optimizer_step.learning_rate}, callbacks=False)
        if losses:
            self._end_block(self._reduce(torch.stack(losses), "mean"))
        if 0 <= end <= step:
            self.trainer.should_stop = True  # else an epoch that ends early would not be validated

    def on_train_epoch_end(self) -> None:
        if (mean := self._losses.epoch_mean()) is not None:
            self._log({"train/loss_epoch": mean})
        schedule.after_epoch(self.trainer, self.optimization.objective)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = self._losses.state()
        checkpoint["divergence"] = self.divergence.state()
        checkpoint["micro_batch"] = self._micro_batch_size
        if self._averaged_weights is not None:
            checkpoint["averaging"] = self._averaged_weights.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._losses.restore(checkpoint["losses"])
        self.divergence.restore(checkpoint.get("divergence", {}), step=checkpoint["global_step"])
        self._micro_batch_size = checkpoint.get("micro_batch")
        self._averaging_state = checkpoint.get("averaging")
        schedule.forget_lengths(checkpoint)

    def on_validation_start(self) -> None:
        if self._averaged_weights is not None:
            with self.trainer.precision_plugin.forward_context():
                self._averaged_weights.swap_in(self.training_batches, self.step)
        share_buffers(self.trainer, self.model)

    def on_validation_end(self) -> None:  # after that of the callbacks, which may keep the weights as the best
        if self._averaged_weights is not None:
            self._averaged_weights.swap_out()

    def validation_step(self, block: Sequence[Batch], block_index: int) -> None:
        for batch in block:
            outcome, units = self.step(self.validated(batch)), self.units(batch)
            statistics = {LOSS: outcome.loss * units, UNITS: units, **self.measure(outcome)}
            self._metrics.update(statistics, counts=batch.real)

    def on_validation_epoch_end(self) -> None:
        sums = self._metrics.sums(lambda values: self._reduce(values, "sum"))
        metrics = {"loss": sums.pop(LOSS) / sums.pop(UNITS), **self.scores(sums)}
        values = {f"val/{name}": value.float() for name, value in metrics.items()}
        if values["val/loss"].isnan():  # the last update of the weights may be the cause, after a loss that was a number
            self._diverge("validation loss", values["val/loss"], self.global_step)
        self._log(values)

    def _end_block(self, losses: Tensor) -> None:
        """Checks a block's losses, which are means over all processes, before any checkpoint is written, and keeps them.

        All processes raise, or none.
        """
        index = self.divergence.first_divergence(losses)
        if index is not None:
            together = self.optimization.accumulate_grad_batches
            before = self.global_step - -(-len(losses) // together)
            self._diverge("loss", losses[index], before + index // together + 1)
        self._log_divergence()
        self._losses.add_block(losses)

    def _reduce(self, values: Tensor, by: str) -> Tensor:
        """The sum or the mean over all processes. All of them must call it."""
        return self.trainer.strategy.reduce(values, reduce_op=by)

    def _diverge(self, what: str, value: Tensor, step: int) -> NoReturn:
        exception = self.divergence.exception(
            what, float(value), step=step, last_step=self.global_step, epoch=self.current_epoch + 1
        )
        self._log_divergence()
        raise exception

    def _log_divergence(self) -> None:
        if metrics := self.divergence.changed_metrics():
            self._log(metrics, callbacks=False)

    def _use_micro_batches(self, size: int) -> None:
        self._micro_batch_size = size
        self._log({"train/micro_batch": torch.tensor(size)}, callbacks=False)

    def _log(self, values: dict[str, Any], *, callbacks: bool = True) -> None:
        """Logs values for callbacks, and for the logger at once, under the step of this moment."""
        if callbacks:
            self.log_dict(dict(values), logger=False)
        assert self.logger is not None
        self.logger.log_metrics(values, step=self.recorded_step)
