"""Schedules that no file of conf/scheduler names."""

import numpy as np
import pytest

from src.optimization.schedule import ExponentialGrowth
from tests.nets import PLAIN_SGD, fit, network, values


def test_the_rate_grows_by_the_same_factor_in_each_step(images, tmp_path):
    data = images()
    learner = network(data, scheduler=ExponentialGrowth(times=100.0), optimizer=PLAIN_SGD, max_epochs=None, max_steps=12)
    fit(learner, data, tmp_path)
    rates = np.geomspace(0.05, 5.0, 12)
    assert np.allclose(values(tmp_path, "train/lr")[:11], rates[1:])  # the rate is logged when the schedule has moved on


def test_a_rate_that_falls_to_zero_is_refused():
    with pytest.raises(ValueError, match="times: expected more than 0; received 0"):
        ExponentialGrowth(times=0)
