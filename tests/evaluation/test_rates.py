"""The search for a learning rate in losses that are known."""

from collections.abc import Iterable

import numpy as np
import pytest

from src.errors import InputError, RunFailed
from src.evaluation import rates
from src.evaluation.plotting import write
from src.evaluation.rates import STEEPEST, TENTH, Search

SETTINGS = {"steps": 60, "first": 1e-5, "last": 10.0, "smoothing": 0.5, "limit": 4.0}


def searched(losses: Iterable[float], **settings: float) -> Search:
    """A search that has seen these losses, which end it."""
    search = Search(**{**SETTINGS, **settings})  # type: ignore[arg-type]
    for step, loss in enumerate(losses, start=1):
        assert not search.should_stop
        search.log({"train/lr": 0.0}, step, 1)  # of no concern
        search.log({"train/loss": loss}, step, 1)
        if search.should_stop:
            return search
    raise AssertionError("the losses do not end the search")


def valley(count: int = 60) -> np.ndarray:
    """Losses that fall by a sigmoid around the 30th rate, and leap up from the 45th on."""
    step = np.arange(count)
    return 2 / (1 + np.exp((step - 30) / 2)) + 0.1 + np.maximum(0.0, step - 45) ** 2


def test_the_rates_of_the_steepest_descent_and_of_the_minimum():
    search = searched(valley())
    table = search.table()
    tried = np.geomspace(1e-5, 10.0, 60)
    assert np.allclose(table["rate"], tried[: len(table)])
    assert 45 < len(table) < 50
    assert search.end == f"at {tried[len(table) - 1]:.2g}, where the loss was 4 times its best"
    proposals = search.proposals()
    assert tried[29] < proposals[STEEPEST] < tried[33], "the mean is a step or two behind"
    assert proposals[TENTH] * 10 == pytest.approx(table["rate"][table["smoothed"].argmin()])
    assert tried[38] < proposals[TENTH] * 10 < tried[47]


def test_the_mean_is_corrected_for_its_beginning():
    table = searched([3.0] * 60, smoothing=0.9).table()
    assert np.allclose(table["smoothed"], 3.0)
    losses = [4.0, 1.0, 2.0] * 20
    weights = 0.9 ** np.arange(2, -1, -1)
    assert searched(losses, smoothing=0.9).table()["smoothed"][2] == pytest.approx(weights @ losses[:3] / weights.sum())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_search(value):
    search = searched([*valley()[:40], value])
    assert len(search.table()) == 40
    assert f"where the loss was {value}" in search.end
    assert search.proposals()[STEEPEST] < 1


def test_losses_below_zero_end_it_by_their_size_too():
    falling = -valley()[::-1][15:45]  # from -0.1 down to -2
    assert searched([*(-2.0 + np.zeros(20)), *np.linspace(-2, 9, 40)]).end.endswith("4 times its best")
    assert len(searched([*falling, *[-2.0] * 30]).table()) == 60


def test_a_fall_from_a_leap_is_no_descent():
    losses = valley()
    losses[45:48], losses[48:] = [1.0, 2.0, 0.5], 0.3
    assert searched(losses, limit=100).proposals()[STEEPEST] == searched(valley()).proposals()[STEEPEST]


def test_one_that_never_falls_has_no_steepest_descent():
    search = searched(np.linspace(1, 2, 60))
    assert set(search.proposals()) == {TENTH}
    assert search.end == "at 10, the last rate"


def test_one_that_ends_too_early_proposes_nothing():
    with pytest.raises(RunFailed, match=r"at least 5 steps; the search ended after 2, at .* was nan"):
        searched([1.0, 0.9, float("nan")]).proposals()


def test_the_figure_shows_the_curve_and_the_proposals(tmp_path):
    search = searched(valley())
    figure = rates.curve(search)
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    assert np.array_equal(ax.lines[1].get_ydata(), search.table()["smoothed"])
    assert [float(line.get_xdata()[0]) for line in ax.lines[2:]] == [*search.proposals().values()]
    assert write(figure, tmp_path / "rates.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 4}, "finder.steps: expected 5 or more with smoothing=0.5; received 4"),
        ({"smoothing": 0.9, "steps": 12}, "finder.steps: expected 13 or more with smoothing=0.9"),
        ({"smoothing": 1.0}, "finder.smoothing: expected 0 up to, but not including, 1; received 1.0"),
        ({"first": 0.0}, "finder.first: expected a rate above 0"),
        ({"first": 20.0}, "below last=10.0; received 20.0"),
        ({"limit": 1.0}, "finder.limit: expected more than 1"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Search(**{**SETTINGS, **settings})
