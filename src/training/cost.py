"""What one example costs a network, and whether the network fits the data."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from src.errors import InputError
from src.optimization.random_state import random_state, set_random_state
from src.protocols import Batch, Cost, Fields
from src.tasks.base import Task


def cost(task: Task, batch: Batch, *, dataset: str) -> Cost:
    """Parameters of a task, and floating-point operations of one example. It also tries a prediction and the batch's loss.

    Args:
        dataset: the name of the batch's data set.

    Raises:
        InputError: the model does not fit the task or the data.
    """
    from torch.utils.flop_counter import FlopCounterMode  # only once a run

    missing = [name for name in task.model_attributes if not hasattr(task.model, name)]
    if missing:
        raise InputError(
            f"task: {type(task).__name__} expected a model with {', '.join(task.model_attributes)}; "
            f"{type(task.model).__name__} has no {' and no '.join(missing)}. Choose another model."
        )
    augmented = task.augmented(batch)
    try:
        with torch.no_grad():
            one = task.preprocess(batch.head(1).input)
            with FlopCounterMode(display=False) as counter, _attention_by_products():
                task.forward_for_flops(one)
            task.predict(one)
            task.step(augmented)
    except InputError:
        raise
    except (RuntimeError, IndexError, ValueError) as error:  # as torch raises for shapes and values; anything else is a defect
        raise InputError(
            f"expected a model for examples of shape {_shapes(batch.input)} and the targets of {dataset}; "
            f"{type(task.model).__name__} fails on them: {error}. Leave its sizes to the data (model.input_shape, "
            "model.num_outputs), or choose another model."
        ) from error
    return Cost(parameters=sum(parameter.numel() for parameter in task.parameters()), flops=counter.get_total_flops())


def _shapes(fields: Fields) -> str:
    """The shape of an example, of each field where it has several."""
    if isinstance(fields, Mapping):
        return ", ".join(f"{list(field.shape[1:])} ({name})" for name, field in fields.items())
    return str(list(fields.shape[1:]))


@contextmanager
def _attention_by_products() -> Iterator[None]:
    """Attention as products of matrices. The counter knows none of the kernels that compute it at once."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def check_single_example_batch(task: Task, batch: Batch, *, frozen: Collection[str] = ()) -> None:
    """Refuses a network that cannot be trained on a batch of one example. Batch normalisation of single values cannot.

    Args:
        frozen: names of the network's modules that stay in evaluation mode during the training.

    Raises:
        InputError: it fails.
    """
    random, copy = random_state(), deepcopy(task).train()
    for name, module in copy.model.named_modules():
        if name in frozen:
            module.eval()
    try:
        with torch.no_grad():
            copy.step(copy.augmented(batch.head(1)))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"expected a network that can be trained on one example; {type(task.model).__name__} cannot: {error}. With this "
            "data.batch_size the last batch of an epoch has a single example for a process: choose another one."
        ) from error
    finally:
        set_random_state(random)
