"""A space in Hydra's grammar: what it suggests, what it stores, and what is refused."""

import json

import optuna
import pytest
from optuna.samplers import RandomSampler

from pipelines.sweep.space import Space
from src.errors import InputError

SPACE = {
    "optimizer.lr": "tag(log, interval(1e-4, 1e-1))",
    "model": "choice(fnn, cnn)",
    "model=fnn": {"model.hidden": "choice([64], [128, 64])"},
    "model=cnn": {"model.width": "range(8, 33, 8)", "model.dropout": "interval(0.0, 0.5)"},
    "trainer.accumulate_grad_batches": "tag(log, int(interval(1, 8)))",
}


def suggested(count: int = 60) -> list[tuple[dict, optuna.trial.FrozenTrial]]:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    space = Space(SPACE)
    suggestions = []
    for _ in range(count):
        trial = study.ask()
        suggestions.append(space.suggest(trial))
        study.tell(trial, 0.0)
    return list(zip(suggestions, study.trials, strict=True))


def test_each_kind_of_sweep_gives_its_values():
    suggestions = [values for values, _ in suggested()]
    rates = [values["optimizer.lr"] for values in suggestions]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert sum(rate < 10**-2.5 for rate in rates) > 15  # half of them, on a logarithmic scale
    assert {values.get("model.width") for values in suggestions} == {None, 8, 16, 24, 32}
    assert {json.dumps(values.get("model.hidden")) for values in suggestions} == {"null", "[64]", "[128, 64]"}
    steps = {values["trainer.accumulate_grad_batches"] for values in suggestions}
    assert steps <= set(range(1, 9))
    assert all(isinstance(step, int) for step in steps)


def test_a_parameter_of_a_choice_is_there_with_it_alone():
    for values, _ in suggested():
        assert ("model.hidden" in values) == (values["model"] == "fnn")
        assert ("model.width" in values) == ("model.dropout" in values) == (values["model"] == "cnn")


def test_what_the_study_stores_and_the_overrides_are_each_others_inverse():
    space = Space(SPACE)
    for values, trial in suggested():
        assert space.overrides(trial.params) == values
        assert space.params(values) == trial.params


def test_the_corners_hold_every_choice_and_both_ends():
    corners = [*Space(SPACE).extremes()]
    assert {corner["optimizer.lr"] for corner in corners} == {1e-4, 1e-1}
    assert {corner["model"] for corner in corners} == {"fnn", "cnn"}
    assert any(corner.get("model.width") == 32 for corner in corners)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"optimizer.lr": 1e-3, "model": "cnn", "model.width": 16}, {"optimizer.lr", "model", "model=cnn/model.width"}),
        ({"optimizer.lr": 1.0, "model": "lenet"}, set()),  # outside
        ({"model": "fnn", "model.hidden": [128, 64], "model.width": 16}, {"model", "model=fnn/model.hidden"}),
        ({"trainer.accumulate_grad_batches": True}, set()),
    ],
)
def test_values_outside_the_space_are_left_out(values, stored):
    assert set(Space(SPACE).params(values)) == stored


def test_equal_spaces_have_equal_texts_through_json():
    one, other = Space(SPACE).description(), Space(dict(SPACE)).description()
    assert one == other == json.loads(json.dumps(one))
    assert Space({**SPACE, "model": "choice(fnn, cnn, lenet)"}).description() != one


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "expected at least one parameter"),
        ({"optimizer.lr": "0.1"}, "expected a sweep in Hydra's grammar"),
        ({"optimizer.lr": "interval(1, 0.1)"}, r"optimizer\.lr: interval\(1, 0\.1\): expected interval\(low, high\)"),
        ({"optimizer.lr": "interval(1, 1)"}, "low below high"),
        ({"optimizer.lr": "tag(log, interval(0, 1))"}, "bounds above 0 for a logarithmic interval; received 0"),
        ({"model.width": "range(8, 8)"}, "start below stop"),
        ({"model.width": "range(8, 16, -1)"}, "a step above 0"),
        ({"model.width": "choice(1"}, "expected overrides; received"),
        ({"model.dropout": "choice(null, 0.5)"}, r"received .*, which is none \(TypeError while evaluating .* NoneType"),
        ({"model=cnn": {"model.width": "choice(1, 2)"}}, "model=cnn has parameters of its own, but is no choice"),
        ({"model": "choice(a, b)", "model=a": {"x=1": {"y": "choice(1, 2)"}}}, "one choice cannot depend on another"),
    ],
)
def test_a_space_that_is_none_is_refused(space, message):
    with pytest.raises(InputError, match=message):
        Space(space)


def test_a_grid_is_every_value():
    grid = Space({"model.width": "range(8, 33, 8)", "model.hidden": "choice([64], [32])"}).grid()
    assert grid == {"model.width": [8, 16, 24, 32], "model.hidden": ["[64]", "[32]"]}
    assert Space({"model.dropout": "range(0.1, 0.5, 0.1)"}).grid() == {"model.dropout": [0.1, 0.2, 0.3, 0.4]}
    with pytest.raises(InputError, match="received an interval"):
        Space({"optimizer.lr": "interval(0.1, 1)"}).grid()
