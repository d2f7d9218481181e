"""The parameters of a search space, written in Hydra's sweep grammar."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from src.config import composition
from src.errors import InputError

EXAMPLE = "optimizer.lr: tag(log, interval(1e-4, 1e-1)), model.width: choice(16, 32, 64), or range(1, 10, 2)"
Distribution = CategoricalDistribution | IntDistribution | FloatDistribution
Stored = str | int | float  # the value of a parameter in a study


@dataclass(frozen=True)
class Parameter:
    """One parameter: a key of the configuration, and the distribution of its values.

    Args:
        name: in the study: the key, behind the choice that it depends on if it does.
        choices: by the text that the study stores them under, where the distribution is categorical.
        condition: the key and the choice on which the parameter depends.
    """

    name: str
    key: str
    distribution: Distribution
    choices: Mapping[str, object]
    condition: tuple[str, str] | None = None

    def suggest(self, trial: Trial) -> object:
        """The configuration's value that the study's sampler suggests."""
        match self.distribution:
            case CategoricalDistribution():
                return self.choices[trial.suggest_categorical(self.name, list(self.choices))]
            case IntDistribution(low=low, high=high, step=step, log=log):
                return trial.suggest_int(self.name, low, high, step=step, log=log)
            case FloatDistribution(low=low, high=high, step=step, log=log):
                return trial.suggest_float(self.name, low, high, step=step, log=log)

    def value(self, stored: Stored) -> object:
        """The configuration's value for what the study stores."""
        return self.choices[str(stored)] if isinstance(self.distribution, CategoricalDistribution) else stored

    def stored(self, value: object) -> Stored | None:
        """What the study stores for a value of the configuration; None where the space does not hold it."""
        if isinstance(self.distribution, CategoricalDistribution):
            return text(value) if text(value) in self.choices else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value if self.distribution._contains(float(value)) else None

    @property
    def extremes(self) -> list[object]:
        """Every choice, or the smallest and the largest number."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.choices.values())
        return [self.distribution.low, self.distribution.high]


def parse(node: Mapping[str, object], condition: tuple[str, str] | None = None) -> Iterator[Parameter]:
    """The parameters of a node of the configuration; those that depend on a choice come last."""
    dependent = []
    for key, entry in node.items():
        if "=" in str(key) and isinstance(entry, Mapping):
            if condition is not None:
                raise InputError(f"sweep.space: {key} inside {'='.join(condition)}: one choice cannot depend on another.")
            name, _, choice = str(key).partition("=")
            dependent.append((entry, (name.strip(), choice.strip())))
        else:
            yield _parameter(str(key), entry, condition)
    for entry, choice_of in dependent:
        yield from parse(entry, choice_of)


def text(value: object) -> str:
    """The text under which the study stores a choice."""
    return value if isinstance(value, str) else json.dumps(value)


def _parameter(key: str, entry: object, condition: tuple[str, str] | None) -> Parameter:
    name = key if condition is None else f"{'='.join(condition)}/{key}"
    (override,) = composition.parse([f"{key}={entry}"])
    where = f"sweep.space: {key}: {entry}"
    choices: dict[str, object] = {}
    distribution: Distribution
    match override.value():
        case ChoiceSweep() as sweep:
            choices = {text(choice): choice for choice in sweep.list}
            distribution = CategoricalDistribution(list(choices))
        case RangeSweep() as sweep:
            distribution = _range(sweep, where)
        case IntervalSweep() as sweep:
            distribution = _interval(sweep, where)
        case _:
            raise InputError(f"{where}: expected a sweep in Hydra's grammar, such as {EXAMPLE}.")
    return Parameter(name, key, distribution, choices, condition)


def _range(sweep: RangeSweep, where: str) -> Distribution:
    start, stop, step = sweep.start, sweep.stop, sweep.step or 1
    if start is None or stop is None or step <= 0 or start >= stop:
        raise InputError(f"{where}: expected range(start, stop, step) with start below stop and a step above 0.")
    last = start + (-(-(stop - start) // step) - 1) * step  # stop itself is not in a range
    if all(isinstance(number, int) for number in (start, stop, step)):
        return IntDistribution(int(start), int(last), step=int(step))
    return FloatDistribution(start, last, step=step)


def _interval(sweep: IntervalSweep, where: str) -> Distribution:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if low is None or high is None or low >= high:
        raise InputError(f"{where}: expected interval(low, high) with low below high.")
    if log and low <= 0:
        raise InputError(f"{where}: expected bounds above 0 for a logarithmic interval; received {low}.")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)
