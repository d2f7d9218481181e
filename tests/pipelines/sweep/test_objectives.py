"""What a search optimizes."""

import pytest

from pipelines.sweep.objectives import objectives, sign
from src.errors import InputError
from src.protocols import Objective

OWN = {"metric": "val/accuracy", "mode": "max"}


def test_the_tasks_own_objective_is_the_default():
    assert objectives(None, OWN) == (Objective("val/accuracy", "max"),)


def test_several_objectives():
    several = objectives([OWN, {"metric": "flops", "mode": "min"}], OWN)
    assert several == (Objective("val/accuracy", "max"), Objective("flops", "min"))
    assert [*map(sign, several)] == [1, -1]


@pytest.mark.parametrize(
    "listed",
    [[], ["val/accuracy"], [{"metric": "flops"}], [{"metric": "flops", "mode": "least"}], [OWN, OWN], [{**OWN, "weight": 2}]],
)
def test_an_entry_that_is_no_objective_is_refused(listed):
    with pytest.raises(InputError, match=r"sweep\.objectives: expected"):
        objectives(listed, OWN)
