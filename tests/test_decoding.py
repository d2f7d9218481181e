"""Which token is chosen of the logits."""

import math

import pytest
import torch

from src.decoding import Sampling, choose

LOGITS = torch.tensor([1.0, 3.0, 2.0, 0.0, -1.0])


def shares(sampling: Sampling, *, before: tuple[int, ...] = (), count: int = 4000) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([choose(LOGITS, before, sampling, generator) for _ in range(count)])
    return (torch.bincount(drawn, minlength=5) / count).tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_come_as_often_as_the_temperature_says(temperature):
    expected = (LOGITS / temperature).softmax(dim=0).tolist()
    assert shares(Sampling(temperature=temperature)) == pytest.approx(expected, abs=0.03)


def test_a_temperature_of_zero_and_a_very_small_one_take_the_most_probable_token():
    assert shares(Sampling(temperature=0), count=5) == shares(Sampling(temperature=1e-8), count=5) == [0, 1, 0, 0, 0]
    assert shares(Sampling(temperature=0, excluded=[1]), count=5) == [0, 0, 1, 0, 0]


def test_only_some_of_the_most_probable_tokens():
    assert [share > 0 for share in shares(Sampling(top_k=2))] == [False, True, True, False, False]
    assert all(shares(Sampling(top_k=9)))
    total = LOGITS.softmax(dim=0)
    assert total[1] < 0.7 < total[1] + total[2]
    assert [share > 0 for share in shares(Sampling(top_p=0.7))] == [False, True, True, False, False]
    assert [share > 0 for share in shares(Sampling(top_p=1e-9))] == [False, True, False, False, False]


def test_a_penalty_makes_tokens_less_likely_that_are_there_already():
    logits = LOGITS.clone()
    logits[1], logits[4] = 1.5, -2.0
    expected = logits.softmax(dim=0).tolist()
    assert shares(Sampling(repetition_penalty=2.0), before=(1, 4, 1)) == pytest.approx(expected, abs=0.03)


def test_the_seed_decides():
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    one, same, other = ([choose(LOGITS, (), Sampling(), own) for _ in range(40)] for own in generators)
    assert one == same != other


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"repetition_penalty": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"{name}: expected a .*; received {value}\."):
        Sampling(**wrong)
