"""What every augmentation of conf/augmentation must do, on small pictures, grey and coloured."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from src.config import assembly, checks, composition
from src.errors import InputError
from src.protocols import Mix, Move

NAMES = [name for name in checks.options("augmentation") if name != "none"]


def build(*overrides: str) -> Any:
    content: Any = OmegaConf.to_container(composition.resolve(composition.compose(overrides)))
    return assembly._augmentation(content)


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(params=[(1, 8, 8), (3, 12, 10)], ids=["grey", "coloured"])
def pixels(request) -> Tensor:
    return torch.randint(256, (6, *request.param), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_augmentations_that_are_promised_are_there():
    assert {"none", "mirror", "light", "standard", "strong", "mixup", "cutmix", "turns", "elastic", "views"} <= {*NAMES, "none"}


def test_none_is_none():
    assert build() is None
    assert build("augmentation=none") is None


def test_a_comment_says_what_it_is(name):
    first = (checks.CONF / "augmentation" / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 30


def test_it_gives_other_pixels_of_the_same_kind(name, pixels):
    before = pixels.clone()
    torch.manual_seed(0)
    images, changes = build(f"augmentation={name}")(pixels)
    assert torch.equal(pixels, before)
    assert images.dtype == torch.float32
    assert images.shape == pixels.shape
    assert images.isfinite().all()
    assert images.min() >= -1e-3
    assert images.max() <= 255 + 1e-3
    assert not torch.allclose(images, pixels.float(), atol=1)
    for partner, share in (change for change in changes if isinstance(change, Mix)):
        assert sorted(partner.tolist()) == list(range(6))
        assert share.shape == (6,)
        assert ((share >= 0) & (share <= 1)).all()


def test_masks_are_moved_with_their_pictures(name, pixels):
    torch.manual_seed(0)
    _, changes = build(f"augmentation={name}")(pixels)
    maps = torch.ones(6, 1, *pixels.shape[2:])
    for change in changes:
        if isinstance(change, Move):
            maps = change.apply(maps)
    assert maps.shape == (6, 1, *pixels.shape[2:])
    assert set(maps.round(decimals=5).unique().tolist()) <= {0, 1}
    assert (maps == 1).float().mean() > 0.5


def test_torchs_generator_alone_decides(name, pixels):
    augment, results = build(f"augmentation={name}"), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(augment(pixels)[0])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_nothing_is_done_example_by_example(name, pixels):
    counts = []
    for times in (1, 20):
        torch.manual_seed(0)
        with Counting() as counting:
            build(f"augmentation={name}")(pixels.repeat(times, 1, 1, 1))
        counts.append(counting.count)
    assert counts[0] == counts[1] > 0


def test_a_classical_estimator_refuses_it(name, digits):
    _, prepared = digits
    config = assembly.complete(composition.compose(["+experiment=most_frequent", f"augmentation={name}"]), prepared)
    with pytest.raises(InputError, match="trainer=classical: expected augmentation=none"):
        assembly.build(config, prepared)


class Counting(TorchDispatchMode):
    """Counts torch's operations."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))
