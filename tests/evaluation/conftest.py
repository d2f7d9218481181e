"""A small network trained on the real digits, and what it is asked."""

from collections.abc import Callable

import pytest

from src.config import assembly, composition
from src.evaluation import scoring
from src.experiment import Experiment, Result
from src.protocols import NullSink


@pytest.fixture(scope="session")
def build(digits, tmp_path_factory) -> Callable[..., Experiment]:
    """Builds experiments on the digits. `fit=False` leaves one untrained."""
    _, prepared = digits

    def make(*overrides: str, fit: bool = True) -> Experiment:
        config = composition.compose(overrides)
        experiment = assembly.build(assembly.complete(config, prepared), prepared)
        if fit:
            folder = tmp_path_factory.mktemp("fit")
            experiment.learner.fit(experiment.data, folder=folder, sink=NullSink())
        return experiment

    return make


@pytest.fixture(scope="session")
def trained(build) -> tuple[Experiment, Result]:
    """A small CNN with all analyses, and the evaluation of its test split."""
    experiment = build("+experiment=cnn", "model.width=8", "trainer.max_epochs=3", "robustness=default")
    return experiment, scoring.evaluate(experiment, "test")
