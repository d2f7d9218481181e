"""Random changes of a whole batch of images on its device, for training, and for validation where a task compares views."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from src.errors import InputError
from src.protocols import Mix, Move

Step = Callable[[Tensor], Tensor | tuple[Tensor, Mix]]


class Augmentation:
    """A sequence of steps between the stored pixels and the normalisation.

    Steps get values from 0 to 1, as changes of colour expect. Areas from outside an image are black.

    Args:
        steps: by name, functions of images that return images, or images and how they were mixed. They draw from torch's
            global generators, whose states a checkpoint holds. Masks can be moved only by steps with kornia's method
            `transform_masks`. A step should process the batch as a whole; kornia's crops loop over the examples unless
            their `cropping_mode` is resample.
    """

    def __init__(self, **steps: Step):
        for name, step in steps.items():
            if not callable(step):
                raise ValueError(f"expected {name} to have a _target_; received {step!r}.")
            probability = getattr(step, "p", 1.0)
            if not 0 <= probability <= 1:
                raise ValueError(f"expected a probability {name}.p from 0 to 1; received {probability}.")
        self._steps = steps

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, list[Mix | Move]]:
        """The changed pixels as float32, and how each step mixed or moved them.

        Shapes: (batch, channels, height, width) to the same.

        Args:
            pixels: from 0 to 255, of any type.
        """
        if pixels.ndim != 4:
            raise InputError(
                f"augmentation: expected images of shape [channels, height, width]; received examples of shape "
                f"{list(pixels.shape[1:])}. Choose augmentation=none."
            )
        images = pixels.to(torch.float32) / 255
        changes: list[Mix | Move] = []
        with torch.autocast(pixels.device.type, enabled=False):  # bfloat16 is too coarse for coordinates
            for name, step in self._steps.items():
                result = _apply(name, step, images)
                if isinstance(result, Tensor):
                    images = result
                    changes.append(_move(name, step))
                else:
                    images, mix = result
                    changes.append(mix)
        return images * 255, changes


def _apply(name: str, step: Step, images: Tensor) -> Tensor | tuple[Tensor, Mix]:
    try:
        return step(images)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"augmentation.{name}: expected a step for images of shape {list(images.shape[1:])}; {type(step).__name__} "
            f"refuses them: {error}. Change its settings, or leave it out by ~augmentation.{name}."
        ) from error


def _move(name: str, step: Any) -> Move:
    """How a step moved the images of its last call. A step that changes colours moves nothing."""
    if not hasattr(step, "transform_masks"):

        def refuse(maps: Tensor) -> Tensor:
            raise InputError(
                f"augmentation.{name}: expected a step that can move masks with their images, as kornia's do; "
                f"{type(step).__name__} has no transform_masks. Leave it out by ~augmentation.{name}."
            )

        return Move(refuse)
    parameters, matrix = step._params, getattr(step, "transform_matrix", None)  # of this call; the next call draws new ones
    flags = dict(step.flags)
    if "resample" in flags:  # not every step of kornia prevents classes that arise between two others
        flags["resample"] = type(flags["resample"]).NEAREST

    @torch.no_grad()
    def apply(maps: Tensor) -> Tensor:
        with torch.autocast(maps.device.type, enabled=False):
            return step.transform_masks(maps, params=parameters, flags=flags, transform=matrix)

    return Move(apply)
