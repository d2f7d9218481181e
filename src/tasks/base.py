"""What every task shares: the optimizer steps, validation, and metrics that stay on the device until an epoch ends."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from src.errors import InputError, RunFailed
from src.protocols import Batch, Mix, Move, Outcome
from src.tasks.stepping import Stepping

# What a scheduler keeps of the training's length. A run that is trained further goes on in a schedule of the new length.
LENGTHS = ("total_steps", "T_max", "_schedule_phases")


class Task(LightningModule):
    """A learning problem: what the loss is, what is measured, and what is predicted.

    A training item is a block of batches, and one call of Lightning's loop takes one optimizer step for each of
    them: the loop's own cost is paid once a block. Hence the optimization is manual.

    Args:
        preprocess: from stored examples to what the model takes, on the device.
        optimizer, scheduler: constructors that lack their parameters or their optimizer. A scheduler that asks for
            `total_steps` is told them and stepped after each optimizer step, any other one after each epoch.
        objective: the metric that a scheduler may wait for.
        augmentation: from stored examples of a batch to others of the kind, and how they were mixed or moved; for training
            alone.
        log_every_n_steps: how often the mean training loss since the last time is logged.
    """

    answer: str  # the name of the output of `predict` that an exported model gives

    def __init__(
        self,
        *,
        model: nn.Module,
        preprocess: nn.Module,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None,
        objective: str,
        augmentation: Callable[[Tensor], tuple[Tensor, Sequence[Mix | Move]]] | None = None,
        gradient_clip_val: float | None = None,
        accumulate_grad_batches: int = 1,
        log_every_n_steps: int = 20,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.preprocess = preprocess
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._objective = objective
        self._augmentation = augmentation
        self._clip = gradient_clip_val
        self._accumulate = accumulate_grad_batches
        self._every = log_every_n_steps
        self.total_steps = 0  # of the whole training; known once there is data
        self._recent: list[Tensor] = []  # losses since the last logged step
        self._epoch: list[Tensor] = []  # losses of this epoch, a tensor for each block
        self._sums: dict[str, Tensor] = {}  # validation: numerator and denominator by metric

    @abstractmethod
    def step(self, batch: Batch) -> Outcome:
        """The loss and the prediction for a batch whose input is preprocessed."""

    @abstractmethod
    def measure(self, outcome: Outcome) -> Mapping[str, tuple[Tensor, Tensor | int]]:
        """Metrics of a batch as numerator and denominator; an epoch's value is the ratio of the two sums.

        Of several ratios, such as one for each class, it is the mean; those of 0 to 0 do not count.
        """

    @abstractmethod
    def predict(self, input: Tensor) -> Mapping[str, Tensor]:
        """Outputs by name for preprocessed input, `answer` among them; the first dimension is the example."""

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

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        given = getattr(self._scheduler, "keywords", {}).get("total_steps")
        needs_total = "total_steps" in inspect.signature(self._scheduler).parameters
        total = {"total_steps": given or self.total_steps} if needs_total else {}
        try:
            scheduler = self._scheduler(optimizer, **total)
        except ZeroDivisionError as error:
            raise InputError(
                f"scheduler: expected a training long enough for its phases; it has {self.total_steps} steps in all. "
                "Train longer (trainer.max_epochs), or choose scheduler=constant."
            ) from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step" if total else "epoch"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if device.type == "cpu":
            return batch  # nothing to move: Lightning would walk through every tensor of the block

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return [Batch(moved(part.input), moved(part.target), moved(part.row), part.weight) for part in batch]

    def on_train_start(self) -> None:
        self._stepping = Stepping(self, self._clip)

    def training_step(self, block: Sequence[Batch], block_index: int) -> None:
        self._share_buffers()
        step, end = self.global_step, self.trainer.max_steps
        losses: list[Tensor] = []
        for number, batch in enumerate(block, start=1):
            if 0 <= end <= step:
                break
            loss = self.step(self.augmented(batch)).loss
            if batch.weight != 1:
                loss = loss * batch.weight
            self._stepping.backward(loss if self._accumulate == 1 else loss / self._accumulate)
            losses.append(loss.detach())
            self._recent.append(losses[-1])
            if number % self._accumulate and number < len(block):
                continue
            self._stepping.step()
            step += 1
            configs = self.trainer.lr_scheduler_configs
            if configs and configs[0].interval == "step":
                scheduler: Any = configs[0].scheduler
                scheduler.step()
            if step % self._every == 0:
                mean = self._reduced(torch.stack(self._recent).mean(), "mean")
                self._log({"train/loss": mean, "train/lr": self._rate()}, callbacks=False)
                self._recent.clear()
        if losses:
            self._keep(self._reduced(torch.stack(losses), "mean"))
        if 0 <= end <= step:
            self.trainer.should_stop = True  # else an epoch that ends early would not be validated

    def on_train_epoch_end(self) -> None:
        if self._epoch:
            self._log({"train/loss_epoch": torch.cat(self._epoch).mean()})
        self._epoch.clear()
        configs = self.trainer.lr_scheduler_configs
        if not configs or configs[0].interval == "step":
            return
        scheduler: Any = configs[0].scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics[self._objective])
        else:
            scheduler.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = {"recent": list(self._recent), "epoch": list(self._epoch)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._recent, self._epoch = checkpoint["losses"]["recent"], checkpoint["losses"]["epoch"]
        for state in checkpoint["lr_schedulers"]:
            for key in LENGTHS:
                state.pop(key, None)

    def on_validation_start(self) -> None:
        self._share_buffers()

    def validation_step(self, block: Sequence[Batch], block_index: int) -> None:
        for batch in block:
            outcome = self.step(batch._replace(input=self.preprocess(batch.input)))
            size = len(batch.row)
            measured = {"loss": (outcome.loss * size, size), **self.measure(outcome)}
            for name, (numerator, denominator) in measured.items():
                pair = torch.stack([numerator.double(), torch.as_tensor(denominator, device=numerator.device).double()])
                pair = pair if batch.weight else torch.zeros_like(pair)
                self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def on_validation_epoch_end(self) -> None:
        values = {}
        for name, pair in self._sums.items():
            numerator, denominator = self._reduced(pair, "sum")
            values[f"val/{name}"] = (numerator / denominator).nanmean().float()
        self._sums.clear()
        if values["val/loss"].isnan():  # the last update of the weights may have done it, after a loss that was a number
            raise self._failure("validation loss", values["val/loss"], self.global_step)
        self._log(values)

    def _keep(self, losses: Tensor) -> None:
        """Keeps a block's losses for the epoch's mean; they are looked at here, before any checkpoint can be written.

        They are those of all processes: each raises, or none.
        """
        finite = torch.isfinite(losses)
        if not finite.all():
            number = int((~finite).nonzero()[0])
            first = self.global_step - -(-len(losses) // self._accumulate)
            raise self._failure("loss", losses[number], first + number // self._accumulate + 1)
        self._epoch.append(losses)
        if self.trainer.world_size > 1 and (recent := min(len(self._recent), len(losses))):
            self._recent[-recent:] = losses[-recent:].unbind()  # a checkpoint holds what is true of every process

    def _share_buffers(self) -> None:
        """Gives every process the first one's buffers, such as the averages of batch normalisation.

        DDP does so only where the optimization is automatic; otherwise each process would validate a network of its
        own, and a checkpoint, which holds the first one's, would not continue the others.
        """
        if self.trainer.world_size > 1:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, 0)

    def _reduced(self, values: Tensor, by: str) -> Tensor:
        """The sum or the mean over all processes, which must all ask for it."""
        return self.trainer.strategy.reduce(values, reduce_op=by)

    def _failure(self, what: str, value: Tensor, step: int) -> RunFailed:
        return RunFailed(
            f"The {what} is {value.item()} at step {step}, in epoch {self.current_epoch + 1}; the last good checkpoint is "
            "kept. Lower optimizer.lr, set trainer.gradient_clip_val=1.0, or let +debug=default name the operation."
        )

    def _rate(self) -> Tensor:
        return torch.tensor(self.trainer.optimizers[0].param_groups[0]["lr"])

    def _log(self, values: Mapping[str, Any], *, callbacks: bool = True) -> None:
        """For callbacks, and for the logger under the optimizer's step (Lightning itself would count blocks)."""
        if callbacks:
            self.log_dict({**values}, logger=False)
        assert self.logger is not None
        self.logger.log_metrics({**values}, step=self.global_step)
