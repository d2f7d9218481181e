"""What every averaging of conf/averaging and every policy of conf/divergence must do."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from src.config import assembly, checks, composition
from src.errors import InputError
from src.optimization.divergence import DivergencePolicy

AVERAGING = [name for name in checks.options("averaging") if name != "none"]


def built(prepared: Any, *overrides: str) -> Any:
    config = assembly.complete(composition.compose(overrides), prepared)
    return assembly.build(config, prepared).learner


def test_the_documented_options_exist():
    assert {"none", "ema", "swa"} <= set(checks.options("averaging"))
    assert {"stop", "skip", "roll_back"} <= set(checks.options("divergence"))


@pytest.mark.slow
@pytest.mark.parametrize("name", AVERAGING)
def test_an_averaging_is_built_and_has_a_class_of_its_own(name, digits):
    learner = built(digits[1], f"averaging={name}")
    assert type(learner.task.optimization.averaging).__name__.lower() == name
    assert built(digits[1]).task.optimization.averaging is None


@pytest.mark.parametrize("name", checks.options("divergence"))
def test_a_policy_is_built(name, digits):
    policy = built(digits[1], f"divergence={name}").task.divergence
    assert isinstance(policy, DivergencePolicy)
    assert type(policy).__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize(("group", "name"), [("averaging", name) for name in AVERAGING] + [("divergence", "skip")])
def test_a_comment_describes_it(group, name):
    first = (checks.CONF / group / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 30


def test_settings_out_of_range_are_refused_by_name(digits):
    with pytest.raises(
        InputError, match=r"averaging: src.optimization.averaging.EMA refuses its settings: decay: .* received 2.0"
    ):
        built(digits[1], "averaging=ema", "averaging.decay=2.0")
    with pytest.raises(InputError, match=r"divergence: src.optimization.divergence.RollBack refuses its settings: factor: "):
        built(digits[1], "divergence=roll_back", "divergence.factor=0.0")


@pytest.mark.parametrize("name", AVERAGING)
def test_a_classical_estimator_refuses_an_average(name, digits):
    with pytest.raises(InputError, match="trainer=classical: expected averaging=none"):
        built(digits[1], "+experiment=most_frequent", f"averaging={name}")


def test_a_classical_estimator_has_no_policy(digits):
    config: Any = OmegaConf.to_container(assembly.complete(composition.compose(["+experiment=most_frequent"]), digits[1]))
    assert config["divergence"] is None
