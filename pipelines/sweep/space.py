"""The space of a search, written in Hydra's sweep grammar, and the overrides that Optuna's suggestions make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from src.config import composition
from src.errors import InputError

EXAMPLE = "optimizer.lr: tag(log, interval(1e-4, 1e-1)), model.width: choice(16, 32, 64), or range(1, 10, 2)"


@dataclass(frozen=True)
class Parameter:
    """One parameter: a key of the configuration, and where its values come from.

    Args:
        name: in the study; the key, behind the choice that it depends on if it does.
        choices: by the text that the study stores them under, where the distribution is categorical.
        condition: the key and the choice on which the parameter depends.
    """

    name: str
    key: str
    distribution: BaseDistribution
    choices: Mapping[str, Any]
    condition: tuple[str, str] | None = None

    def value(self, stored: Any) -> Any:
        """The configuration's value for what the study stores."""
        return self.choices[stored] if isinstance(self.distribution, CategoricalDistribution) else stored

    def stored(self, value: Any) -> Any:
        """What the study stores for a value of the configuration; None where the space does not hold it."""
        if isinstance(self.distribution, CategoricalDistribution):
            found = _text(value)
            return found if found in self.choices else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value if self.distribution._contains(float(value)) else None


class Space:
    """Parameters in the order in which they are suggested; one that depends on a choice comes after it.

    Raises:
        InputError: an entry that is no sweep, or an empty or reversed one.
    """

    def __init__(self, node: Mapping[str, Any]):
        self.parameters = [*_parse(node)]
        if not self.parameters:
            raise InputError(f"sweep.space: expected at least one parameter, such as {EXAMPLE}; received none.")
        keys = {parameter.key: parameter for parameter in self.parameters if parameter.condition is None}
        for parameter in self.parameters:
            if parameter.condition is None:
                continue
            key, choice = parameter.condition
            if key not in keys or choice not in keys[key].choices:
                raise InputError(
                    f"sweep.space: {key}={choice} has parameters of its own, but is no choice of the space; "
                    f"add `{key}: choice({choice}, ...)`."
                )

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """The overrides of a trial by key."""
        found: dict[str, Any] = {}
        for parameter in self._active(found):
            found[parameter.key] = parameter.value(_suggest(trial, parameter))
        return found

    def params(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the study stores for overrides by key; those that lie outside the space are left out."""
        found: dict[str, Any] = {}
        for parameter in self._active(values):
            if parameter.key in values and (stored := parameter.stored(values[parameter.key])) is not None:
                found[parameter.name] = stored
        return found

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The overrides by key of a trial that has these parameters."""
        return {
            parameter.key: parameter.value(params[parameter.name]) for parameter in self.parameters if parameter.name in params
        }

    def corners(self) -> Iterator[dict[str, Any]]:
        """Points that between them hold every choice, and the smallest and the largest of every number."""
        sizes = [len(_extremes(parameter)) for parameter in self.parameters]
        for number in range(max(sizes)):
            found: dict[str, Any] = {}
            for parameter in self._active(found):
                extremes = _extremes(parameter)
                found[parameter.key] = extremes[min(number, len(extremes) - 1)]
            yield found

    def grid(self) -> dict[str, list[Any]]:
        """Every value of every parameter, as the study stores them.

        Raises:
            InputError: an interval, or a parameter that depends on a choice: a grid has neither.
        """
        found: dict[str, list[Any]] = {}
        for parameter in self.parameters:
            given: Any = parameter.distribution
            if parameter.condition is not None:
                raise InputError(f"sweep.space: {parameter.name}: a grid has no parameters that depend on a choice.")
            if isinstance(given, CategoricalDistribution):
                found[parameter.name] = list(given.choices)
            elif isinstance(given, IntDistribution) and not given.log:
                found[parameter.name] = list(range(given.low, given.high + 1, given.step))
            else:
                raise InputError(f"sweep.space: {parameter.name}: expected choice or range for a grid; received an interval.")
        return found

    def text(self) -> dict[str, Any]:
        """A description that is equal for equal spaces, also when it has been through JSON."""
        described = {
            parameter.name: {"kind": type(parameter.distribution).__name__, **parameter.distribution._asdict()}
            for parameter in self.parameters
        }
        return json.loads(json.dumps(described))

    def _active(self, values: Mapping[str, Any]) -> Iterator[Parameter]:
        for parameter in self.parameters:
            if parameter.condition is None or _text(values.get(parameter.condition[0])) == parameter.condition[1]:
                yield parameter


def _parse(node: Mapping[str, Any], condition: tuple[str, str] | None = None) -> Iterator[Parameter]:
    later = []
    for key, entry in node.items():
        if "=" in str(key) and isinstance(entry, Mapping):
            if condition is not None:
                raise InputError(f"sweep.space: {key} inside {'='.join(condition)}: one choice cannot depend on another.")
            chosen, _, choice = str(key).partition("=")
            later.append((entry, (chosen.strip(), choice.strip())))
        else:
            yield _parameter(str(key), entry, condition)
    for entry, of in later:
        yield from _parse(entry, of)


def _parameter(key: str, entry: Any, condition: tuple[str, str] | None) -> Parameter:
    name = key if condition is None else f"{'='.join(condition)}/{key}"
    (override,) = composition.parse([f"{key}={entry}"])
    sweep = override.value()
    where = f"sweep.space: {key}: {entry}"
    if isinstance(sweep, ChoiceSweep):
        choices = {_text(choice): choice for choice in sweep.list}
        return Parameter(name, key, CategoricalDistribution(list(choices)), choices, condition)
    if isinstance(sweep, RangeSweep):
        start, stop, step = sweep.start, sweep.stop, sweep.step or 1
        if start is None or stop is None or step <= 0 or start >= stop:
            raise InputError(f"{where}: expected range(start, stop, step) with start below stop and a step above 0.")
        whole = all(isinstance(number, int) for number in (start, stop, step))
        last = start + (-(-(stop - start) // step) - 1) * step  # stop itself is not in a range
        kind = IntDistribution(int(start), int(last), step=int(step)) if whole else FloatDistribution(start, last, step=step)
        return Parameter(name, key, kind, {}, condition)
    if isinstance(sweep, IntervalSweep):
        low, high, log = sweep.start, sweep.end, "log" in sweep.tags
        if low is None or high is None or low >= high:
            raise InputError(f"{where}: expected interval(low, high) with low below high.")
        if log and low <= 0:
            raise InputError(f"{where}: expected bounds above 0 for a logarithmic interval; received {low}.")
        whole = isinstance(low, int) and isinstance(high, int)
        kinds = IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
        return Parameter(name, key, kinds, {}, condition)
    raise InputError(f"{where}: expected a sweep in Hydra's grammar, such as {EXAMPLE}.")


def _suggest(trial: Trial, parameter: Parameter) -> Any:
    given: Any = parameter.distribution
    if isinstance(given, CategoricalDistribution):
        return trial.suggest_categorical(parameter.name, given.choices)
    if isinstance(given, IntDistribution):
        return trial.suggest_int(parameter.name, given.low, given.high, step=given.step, log=given.log)
    return trial.suggest_float(parameter.name, given.low, given.high, step=given.step, log=given.log)


def _extremes(parameter: Parameter) -> list[Any]:
    if isinstance(parameter.distribution, CategoricalDistribution):
        return list(parameter.choices.values())
    return [parameter.distribution.low, parameter.distribution.high]  # type: ignore[attr-defined]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
