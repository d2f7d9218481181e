"""A network that is sharded over several processes: each holds a shard of every weight, gradient and optimizer state.

It is torch's `fully_shard` (FSDP2): https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html. Checkpoints are
whole, and written by the first process, as in any other training.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import SGD, Optimizer
from torch.utils._pytree import tree_map

from src.errors import InputError

LISTS = (nn.ModuleList, nn.ModuleDict)  # nothing calls them, so nothing would gather their weights


class Sharded(DDPStrategy):
    """Lightning's strategy of DDP, with the network sharded instead of wrapped by DDP.

    Each process builds the whole network in its own memory first, and has it again after the fit.

    Args:
        gathered: number of parameters from which a member of a sequence or a list in the network is gathered by itself
            when it computes; the rest is gathered with the whole network.
        arguments: of Lightning's DDPStrategy.
    """

    def __init__(self, *, gathered: int = 1_000_000, **arguments: Any):
        super().__init__(**arguments)
        self._gathered = gathered
        self._whole: nn.Module | None = None

    def model_to_device(self) -> None:
        """Moves nothing yet: the shards are created on the device."""

    def configure_ddp(self) -> None:
        task: Any = self.lightning_module
        if task.model._compiled_call_impl is not None:
            raise InputError(
                "trainer.compile: expected null for a sharded network; received a mode. Leave it out, or choose trainer=ddp."
            )
        if type(task.model).forward is nn.Module.forward or task.calls_parts:
            raise InputError(
                f"trainer=fsdp: expected a task that calls its network as a whole; {type(task).__name__} calls parts of it, "
                "whose weights nothing would gather. Choose trainer=ddp."
            )
        self._whole = task.model
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        # A weight whose memory is in another order than its dimensions cannot be sharded.
        task.model = shard(copy.deepcopy(task.model).to(memory_format=torch.contiguous_format), mesh, gathered=self._gathered)
        task.to(self.root_device)

    def setup_optimizers(self, trainer: Trainer) -> None:
        super().setup_optimizers(trainer)
        for optimizer in self.optimizers:
            _unfuse(optimizer)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return self._complete(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state as of one process. Its tensors lie in memory as its parameters do, which fused kernels rely on."""
        state = self._complete(super().optimizer_state(optimizer))
        task: Any = self.lightning_module
        assert self._whole is not None
        wholes = dict(zip(task.model.parameters(), self._whole.parameters(), strict=True))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for number, values in state["state"].items():
            whole = wholes.get(parameters[number])
            for name, value in values.items():
                if whole is not None and isinstance(value, Tensor) and value.shape == whole.shape:
                    values[name] = torch.empty_like(whole, device="cpu").copy_(value)
        return state

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            of_each = {number: _like(parameters[number], values) for number, values in state["state"].items()}
            optimizer.load_state_dict({**state, "state": of_each})
            _unfuse(optimizer)

    def teardown(self) -> None:
        if self._whole is not None:
            task: Any = self.lightning_module
            task.model, self._whole = self._whole, None
            self.optimizers = []  # their states lie beside the shards, and end with them
            task.release_weights()
        super().teardown()

    def _complete(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state with whole tensors, in the first process only. All processes must call it."""

        def whole(value: Any) -> Any:
            if not isinstance(value, DTensor):
                return value
            tensor = value.full_tensor()
            return tensor.cpu() if self.is_global_zero else None

        return tree_map(whole, state)


def shard(network: nn.Module, mesh: DeviceMesh, *, gathered: int) -> nn.Module:
    """Shards a network over the processes of a mesh, in place."""
    members = {
        member
        for part in network.modules()
        if isinstance(part, nn.Sequential | nn.ModuleList)
        for member in part
        if not isinstance(member, LISTS)
    }
    for part in reversed([*network.modules()]):  # from the inside out
        left = sum(parameter.numel() for parameter in part.parameters() if not isinstance(parameter, DTensor))
        if part is network or (part in members and left >= gathered):
            fully_shard(part, mesh=mesh, reshard_after_forward=True)
    return network


def _unfuse(optimizer: Optimizer) -> None:
    """Turns off the one fused kernel that torch does not have for shards."""
    if isinstance(optimizer, SGD):
        optimizer._step_supports_amp_scaling = False
        for group in optimizer.param_groups:
            group["fused"] = False


def _like(parameter: Tensor, values: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state of one parameter, sharded as the parameter is."""
    assert isinstance(parameter, DTensor)
    return {
        name: distribute_tensor(
            value.to(parameter.device).contiguous(), parameter.device_mesh, parameter.placements, src_data_rank=None
        )
        if isinstance(value, Tensor) and value.shape == parameter.shape
        else value
        for name, value in values.items()
    }
