"""Settings that depend on the machine."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Floating-point operations of a training step up to which one thread computes. Several threads gain nothing on so small a step.
# They wait for each other between its operations, and beside any other process each wait lasts until all have a processor.
SINGLE_THREADED = 100e6
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # of mallopt, in glibc's malloc.h


def keep_freed_memory() -> None:
    """Lets the C library keep freed memory, up to 32 MiB a piece, for the next allocation of the process.

    A training step allocates and frees the same megabytes each time. By default glibc returns them to the kernel. Each step
    then waits for the kernel to map and clear the pages again (see mallopt(3)).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # a C library without it
        return
    mallopt(MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc takes
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
    mallopt(TOP_PAD, 64 * 2**20)


@contextmanager
def training_threads(operations: float, device: torch.device) -> Iterator[None]:
    """Limits the threads that compute a training to one where its steps are small.

    The number follows from the configuration alone, because it changes the last bits of sums.

    Args:
        operations: floating-point operations of a step.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and operations <= SINGLE_THREADED:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def precision(accelerator: str, network: nn.Module) -> str:
    """The precision in which this machine trains a network fastest, in Lightning's terms.

    It is a table after the benchmarks, so that equal machines choose alike. Convolutions gain from a CPU's bfloat16 units.
    Small fully connected layers lose more by the conversions than their products gain.

    Args:
        accelerator: of the Trainer.
        network: only its layers matter; it may lie on the meta device.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "32-true"
    if accelerator not in ("auto", "cpu"):
        return "32-true"
    units = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    convolutional = any(isinstance(module, CONVOLUTIONS) for module in network.modules())
    return "bf16-mixed" if units and convolutional else "32-true"
