"""What Lightning calls of a task: optimizer steps, validation, and metrics that stay on the device until an epoch ends."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src.errors import InputError
from src.optimization import schedule
from src.optimization.alternating_updates import Turns
from src.optimization.averaging import Average, Averaged
from src.optimization.divergence import Policy, Stop
from src.optimization.gradient_accumulation import MicroBatches, Whole
from src.optimization.metric_state import Losses, Sums
from src.optimization.optimizer_step import Stepping, share_buffers
from src.protocols import Batch, Mix, Move, Outcome


class Loop(LightningModule):
    """The optimization of a network.

    A training item is a block of batches, and one call of Lightning's loop takes one optimizer step for each of
    them: the loop's own cost is paid once a block. Hence the optimization is manual.

    Args:
        preprocess: from stored examples to what the model takes, on the device.
        optimizer, scheduler: constructors that lack their parameters or their optimizer. A scheduler that asks for
            `total_steps` is told them and stepped after each optimizer step, any other one after each epoch.
        objective: the metric that a scheduler may wait for.
        rates: factors of the learning rate for parts of the network, by how the names of their weights begin.
        augmentation: from stored examples of a batch to others of the kind, and how they were mixed or moved.
        averaging: how weights are averaged over the steps; the average is what is validated, and kept as the best.
        divergence: what is done about a loss that is not a number; the run is ended where nothing is given.
        auto_micro_batch: whether batches are taken in smaller pieces where memory is short.
        log_every_n_steps: how often the mean training loss since the last time is logged.
        total_steps: of the whole training.
    """

    needs_in_batch_negatives = (
        False  # whether the loss compares the examples of a batch: those of a class should not follow one another
    )

    def __init__(
        self,
        *,
        model: nn.Module,
        preprocess: nn.Module,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None,
        objective: str,
        rates: Mapping[str, float] | None = None,
        augmentation: Callable[[Tensor], tuple[Tensor, Sequence[Mix | Move]]] | None = None,
        averaging: Average | None = None,
        divergence: Policy | None = None,
        gradient_clip_val: float | None = None,
        accumulate_grad_batches: int = 1,
        auto_micro_batch: bool = False,
        log_every_n_steps: int = 20,
        total_steps: int = 0,
    ):
        super().__init__()
        if auto_micro_batch and self.needs_in_batch_negatives:
            raise InputError(
                "trainer.auto_micro_batch=true: expected a task whose loss is a mean over examples; this one compares those "
                "of a batch, and in pieces it would be another. Choose a smaller data.batch_size."
            )
        self.automatic_optimization = False
        self.model = model
        self.preprocess = preprocess
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._objective = objective
        self._rates = schedule.factors(rates, model)
        self._augmentation = augmentation
        self._averaging = averaging
        self._averaged: Averaged | None = None
        self._averaged_before: Mapping[str, Any] | None = None  # what a checkpoint holds of it
        self.divergence = divergence or Stop()
        self._clip = gradient_clip_val
        self._accumulate = accumulate_grad_batches
        self._micro = auto_micro_batch
        self._micro_size: int | None = None  # where memory was short
        self._every = log_every_n_steps
        self.total_steps = total_steps
        self.examples: Callable[[int], Iterable[Batch]] = lambda _: ()  # so many training batches as they are validated
        self._losses = Losses(partial=self.divergence.guards)
        self._sums = Sums()  # of the validation
        self.configure_optimizers()  # what it refuses is known before a run begins

    @abstractmethod
    def step(self, batch: Batch) -> Outcome:
        """The loss and the prediction for a batch whose input is preprocessed."""

    @abstractmethod
    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, Tensor | int]]:
        """Metrics of a batch as numerator and denominator; an epoch's value is the ratio of the two sums.

        Of several ratios, such as one for each class, it is the mean; those of 0 to 0 do not count.
        """

    @abstractmethod
    def validated(self, batch: Batch) -> Batch:
        """A batch as a validation sees it."""

    def configure_optimizers(self) -> Any:
        return schedule.configured(self._groups(), self._optimizer, self._scheduler, total_steps=self.total_steps)

    def _groups(self) -> list[dict[str, Any]]:
        return schedule.grouped(self.named_parameters(), self._rates)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if device.type == "cpu":
            return batch  # nothing to move: Lightning would walk through every tensor of the block
        return [part.to(device) for part in batch]

    def on_train_start(self) -> None:
        self._losses.to(self.device)
        self._stepping = Stepping(self, self._clip, self.divergence, [1.0, *self._rates.values()])
        whole = Whole(self, self._stepping)
        smaller = MicroBatches(whole, self, size=self._micro_size, found=self._shortened) if self._micro else None
        self._turns = Turns(self, self._stepping, smaller or whole)
        if self._averaging is not None:  # the weights of a checkpoint are in the model by now
            state, self._averaged_before = self._averaged_before, None
            self._averaged = Averaged(self._averaging, self.model, total_steps=self.total_steps, state=state)

    def training_step(self, block: Sequence[Batch], block_index: int) -> None:
        share_buffers(self.trainer, self.model)
        step, end = self.global_step, self.trainer.max_steps
        losses: list[Tensor] = []
        for first in range(0, len(block), self._accumulate):
            if 0 <= end <= step:
                break
            found = self._turns(block[first : first + self._accumulate], step + 1)
            losses += found
            self._losses.add(found)
            step += 1
            if self._averaged is not None:
                self._averaged.update(step)
            schedule.after_step(self.trainer)
            if step % self._every == 0:
                mean = self._reduced(self._losses.recent(), "mean")
                self._log({"train/loss": mean, "train/lr": self._stepping.rate}, callbacks=False)
        if losses:
            self._keep(self._reduced(torch.stack(losses), "mean"))
        if 0 <= end <= step:
            self.trainer.should_stop = True  # else an epoch that ends early would not be validated

    def on_train_epoch_end(self) -> None:
        if (mean := self._losses.epoch()) is not None:
            self._log({"train/loss_epoch": mean})
        schedule.after_epoch(self.trainer, self._objective)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = self._losses.state()
        checkpoint["divergence"] = self.divergence.state()
        checkpoint["micro_batch"] = self._micro_size
        if self._averaged is not None:
            checkpoint["averaging"] = self._averaged.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._losses.restore(checkpoint["losses"])
        self.divergence.restore(checkpoint.get("divergence", {}), step=checkpoint["global_step"])
        self._micro_size = checkpoint.get("micro_batch")
        self._averaged_before = checkpoint.get("averaging")
        schedule.forget_lengths(checkpoint)

    def on_validation_start(self) -> None:
        if self._averaged is not None:
            with self.trainer.precision_plugin.forward_context():
                self._averaged.show(self.examples, self.step)
        share_buffers(self.trainer, self.model)

    def on_validation_end(self) -> None:  # after that of the callbacks, which may keep the weights as the best
        if self._averaged is not None:
            self._averaged.hide()

    def validation_step(self, block: Sequence[Batch], block_index: int) -> None:
        for batch in block:
            outcome = self.step(self.validated(batch))
            size = len(batch.row)
            measured = {"loss": (outcome.loss * size, size), **self.measure(outcome)}
            self._sums.add(measured, count=bool(batch.weight))

    def on_validation_epoch_end(self) -> None:
        values = {f"val/{name}": value for name, value in self._sums.ratios(lambda pair: self._reduced(pair, "sum")).items()}
        if values["val/loss"].isnan():  # the last update of the weights may have done it, after a loss that was a number
            self._diverged("validation loss", values["val/loss"], self.global_step)
        self._log(values)

    def _keep(self, losses: Tensor) -> None:
        """Keeps a block's losses for the epoch's mean; they are looked at here, before any checkpoint can be written.

        They are those of all processes: each raises, or none.
        """
        place = self.divergence.first(losses)
        if place is not None:
            first = self.global_step - -(-len(losses) // self._accumulate)
            self._diverged("loss", losses[place], first + place // self._accumulate + 1)
        self._tell()
        self._losses.keep(losses)

    def _reduced(self, values: Tensor, by: str) -> Tensor:
        """The sum or the mean over all processes, which must all ask for it."""
        return self.trainer.strategy.reduce(values, reduce_op=by)

    def _diverged(self, what: str, value: Tensor, step: int) -> NoReturn:
        counts = {"step": step, "taken": self.global_step, "epoch": self.current_epoch + 1}
        answer = self.divergence.answer(what, float(value), **counts)
        self._tell()
        raise answer

    def _tell(self) -> None:
        if news := self.divergence.news():
            self._log(news, callbacks=False)

    def _shortened(self, size: int) -> None:
        self._micro_size = size
        self._log({"train/micro_batch": torch.tensor(size)}, callbacks=False)

    def _log(self, values: Mapping[str, Any], *, callbacks: bool = True) -> None:
        """For callbacks, and for the logger under the optimizer's step (Lightning itself would count blocks)."""
        if callbacks:
            self.log_dict({**values}, logger=False)
        assert self.logger is not None
        self.logger.log_metrics({**values}, step=self.global_step + self.divergence.lead)
