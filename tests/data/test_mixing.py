"""Mixup and cutmix: what the images hold is what the shares say."""

import pytest
import torch
from torch import Tensor

from src.data.mixing import Cutmix, Mixup


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2000, 3, 10, 14)


def test_mixup_holds_the_shares_it_states(images):
    mixed, (partner, share) = Mixup(alpha=0.4)(images)
    own = share.view(-1, 1, 1, 1)
    assert torch.allclose(mixed, own * images + (1 - own) * images[partner], atol=1e-6)
    assert sorted(partner.tolist()) == list(range(2000))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_shares_of_mixup_are_those_of_a_beta_distribution(images, alpha):
    _, (_, share) = Mixup(alpha=alpha)(images)
    assert float(share.mean()) == pytest.approx(0.5, abs=0.04)
    assert float(share.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_cutmix_holds_one_box_of_the_area_it_states(images):
    mixed, (partner, share) = Cutmix(alpha=1.0)(images)
    foreign = (mixed != images).all(dim=1) & (mixed == images[partner]).all(dim=1)
    own = (mixed == images).all(dim=1)
    assert (foreign | own).all()
    other = partner != torch.arange(2000)
    assert torch.allclose(own.float().mean(dim=(1, 2))[other], share[other], atol=1e-6)
    lines, columns = foreign.any(dim=2), foreign.any(dim=1)
    assert torch.equal(foreign, lines.unsqueeze(2) & columns.unsqueeze(1))
    for places in (lines, columns):  # one connected box: it begins at most once
        begins = places[:, 1:] & ~places[:, :-1]
        assert (begins.sum(dim=1) + places[:, 0] <= 1).all()
    for pixel in (foreign[:, 0, 0], foreign[:, 5, 7], foreign[:, -1, -1]):  # everywhere, the corners too
        assert pixel.any()


def test_a_batch_of_one_is_mixed_with_itself():
    one = torch.rand(1, 1, 4, 4)
    for kind in (Mixup, Cutmix):
        mixed, (partner, _) = kind(alpha=1.0)(one)
        assert torch.allclose(mixed, one)
        assert partner.tolist() == [0]


@pytest.mark.parametrize("kind", [Mixup, Cutmix])
@pytest.mark.parametrize("alpha", [0, -1.0])
def test_an_alpha_that_is_no_positive_number_is_refused(kind, alpha):
    with pytest.raises(ValueError, match=f"expected alpha above 0; received {alpha}"):
        kind(alpha=alpha)
