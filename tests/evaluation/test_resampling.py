"""Bootstrap intervals."""

import numpy as np
import pytest

from src.evaluation.resampling import bootstrap, interval, sums


def test_a_bootstrap_draws_as_many_rows_as_there_are():
    drawn = bootstrap(50, resamples=200)
    assert drawn.shape == (200, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert len(np.unique(drawn, axis=0)) == 200
    assert drawn.mean(axis=0) == pytest.approx(np.ones(50), abs=0.35)


def test_a_bootstrap_is_deterministic():
    assert np.array_equal(bootstrap(20, seed=3), bootstrap(20, seed=3))
    assert not np.array_equal(bootstrap(20, seed=3), bootstrap(20, seed=4))


def test_an_interval_holds_95_of_100_values():
    values = np.random.default_rng(0).normal(size=100_000)
    low, high = interval(values)
    assert (low, high) == (pytest.approx(-1.96, abs=0.03), pytest.approx(1.96, abs=0.03))
    assert ((values > low) & (values < high)).mean() == pytest.approx(0.95, abs=1e-3)


def test_an_interval_of_one_value_is_that_value():
    assert interval(np.full(10, 0.5)) == (0.5, 0.5)


def test_bootstrap_intervals_cover_the_true_value():
    """Of 200 samples from a known distribution, about 95 % of the intervals hold its mean."""
    rng, covered = np.random.default_rng(0), 0
    drawn = bootstrap(100, resamples=500)
    for _ in range(200):
        low, high = interval(sums(drawn, rng.binomial(1, 0.7, size=100)) / 100)
        covered += low <= 0.7 <= high
    assert 180 <= covered <= 198


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_sums_are_those_of_large_numbers(kind):
    """The counts are bytes, whose own sums would overflow."""
    drawn, values = bootstrap(5000, resamples=20), (np.arange(5000 * 2).reshape(5000, 2) % 3).astype(kind)
    assert np.array_equal(sums(drawn, values), drawn.astype(np.int64) @ values.astype(np.int64))
    assert drawn.nbytes == 20 * 5000
