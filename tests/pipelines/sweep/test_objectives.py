"""What a search looks for."""

import pytest

from pipelines.sweep.objectives import Objective, objectives
from src.errors import InputError

OWN = {"metric": "val/accuracy", "mode": "max"}


def test_the_tasks_own_objective_is_the_default():
    assert objectives(None, OWN) == (Objective("val/accuracy", "max"),)
    assert Objective("val/accuracy", "max").sign == 1


def test_several_objectives():
    assert objectives([OWN, {"metric": "flops", "mode": "min"}], OWN) == (
        Objective("val/accuracy", "max"),
        Objective("flops", "min"),
    )
    assert Objective("flops", "min").sign == -1


@pytest.mark.parametrize(
    "listed",
    [[], ["val/accuracy"], [{"metric": "flops"}], [{"metric": "flops", "mode": "least"}], [OWN, OWN], [{**OWN, "weight": 2}]],
)
def test_what_is_no_objective_is_refused(listed):
    with pytest.raises(InputError, match=r"sweep\.objectives: expected"):
        objectives(listed, OWN)
