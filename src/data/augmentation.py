"""Random changes of a whole batch of images on its device, for training, and for validation where a task compares views."""

from typing import Any

import torch
from torch import Tensor

from src.errors import InputError
from src.protocols import Mix, Move


class Augmentation:
    """Steps that follow one another between the stored pixels and the normalisation.

    There values lie between 0 and 1, as changes of colour need them, and what is moved in from outside a picture is black.

    Args:
        steps: by name, from images to images, or to images and how they were mixed. They draw from torch's global
            generators, whose states a checkpoint holds. Maps over the pictures are moved by kornia's steps, which have
            `transform_masks`, and by no others. They should take the batch as a whole: kornia's crops go
            through it example by example unless their `cropping_mode` is resample.
    """

    def __init__(self, **steps: Any):
        for name, step in steps.items():
            if not callable(step):
                raise ValueError(f"expected {name} to have a _target_; received {step!r}.")
            probability = getattr(step, "p", 1.0)
            if not 0 <= probability <= 1:
                raise ValueError(f"expected a probability {name}.p from 0 to 1; received {probability}.")
        self._steps = steps

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, list[Mix | Move]]:
        """Pixels from 0 to 255, of any type, as float32 of the same range and shape, and how they were mixed or moved.

        Shapes: (batch, channels, height, width).
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
                made = self._apply(name, step, images)
                if isinstance(made, Tensor):
                    images = made
                    changes.append(_move(name, step))
                else:
                    images, mix = made
                    changes.append(mix)
        return images * 255, changes

    def _apply(self, name: str, step: Any, images: Tensor) -> Any:
        try:
            return step(images)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"augmentation.{name}: expected a step for images of shape {list(images.shape[1:])}; {type(step).__name__} "
                f"refuses them: {error}. Change its settings, or leave it out by ~augmentation.{name}."
            ) from error


def _move(name: str, step: Any) -> Move:
    """How a step has moved the pictures that it was called with last, not at all for one that changes colours."""
    if not hasattr(step, "transform_masks"):

        def refuse(maps: Tensor) -> Tensor:
            raise InputError(
                f"augmentation.{name}: expected a step that moves masks together with their pictures, as kornia's do; "
                f"{type(step).__name__} does not say how. Leave it out by ~augmentation.{name}."
            )

        return Move(refuse)
    drawn, matrix = step._params, getattr(step, "transform_matrix", None)  # of this call; the next one draws others
    flags = dict(step.flags)
    if "resample" in flags:  # not every step of kornia sees to it that a class between two others does not come about
        flags["resample"] = type(flags["resample"]).NEAREST

    @torch.no_grad()
    def apply(maps: Tensor) -> Tensor:
        with torch.autocast(maps.device.type, enabled=False):
            return step.transform_masks(maps, params=drawn, flags=flags, transform=matrix)

    return Move(apply)
