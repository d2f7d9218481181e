"""The space of a search: its parameters, and the overrides that Optuna's suggestions make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from pipelines.sweep.parameters import EXAMPLE, Parameter, Stored, parse, text
from src.errors import InputError


class Space:
    """Parameters in the order in which they are suggested. One that depends on a choice comes after it.

    Args:
        node: of the configuration: parameters by key, in Hydra's sweep grammar; under `KEY=CHOICE`, those that depend on it.

    Raises:
        InputError: an entry that is no sweep, or an empty or reversed one.
    """

    def __init__(self, node: Mapping[str, object]):
        self.parameters = [*parse(node)]
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

    def suggest(self, trial: Trial) -> dict[str, object]:
        """The overrides of a trial, by key."""
        overrides: dict[str, object] = {}
        for parameter in self._active(overrides):
            overrides[parameter.key] = parameter.suggest(trial)
        return overrides

    def params(self, overrides: Mapping[str, object]) -> dict[str, Stored]:
        """What the study stores for overrides by key. Those outside the space are left out."""
        params: dict[str, Stored] = {}
        for parameter in self._active(overrides):
            if parameter.key in overrides and (stored := parameter.stored(overrides[parameter.key])) is not None:
                params[parameter.name] = stored
        return params

    def overrides(self, params: Mapping[str, Stored]) -> dict[str, object]:
        """The overrides by key of a trial for which the study stores these parameters."""
        return {
            parameter.key: parameter.value(params[parameter.name]) for parameter in self.parameters if parameter.name in params
        }

    def extremes(self) -> Iterator[dict[str, object]]:
        """Overrides that between them have every choice, and the smallest and the largest of every number."""
        for number in range(max(len(parameter.extremes) for parameter in self.parameters)):
            overrides: dict[str, object] = {}
            for parameter in self._active(overrides):
                overrides[parameter.key] = parameter.extremes[min(number, len(parameter.extremes) - 1)]
            yield overrides

    def grid(self) -> dict[str, list[Stored]]:
        """Every value of every parameter, as the study stores them.

        Raises:
            InputError: an interval, or a parameter that depends on a choice. A grid can have neither.
        """
        values: dict[str, list[Stored]] = {}
        for parameter in self.parameters:
            distribution = parameter.distribution
            if parameter.condition is not None:
                raise InputError(f"sweep.space: {parameter.name}: a grid has no parameters that depend on a choice.")
            if isinstance(distribution, CategoricalDistribution):
                values[parameter.name] = list(parameter.choices)
            elif isinstance(distribution, IntDistribution) and not distribution.log:
                values[parameter.name] = list(range(distribution.low, distribution.high + 1, distribution.step))
            elif isinstance(distribution, FloatDistribution) and distribution.step is not None:
                low, high, step = (Decimal(str(number)) for number in (distribution.low, distribution.high, distribution.step))
                values[parameter.name] = [float(low + number * step) for number in range(int((high - low) / step) + 1)]
            else:
                raise InputError(f"sweep.space: {parameter.name}: expected choice or range for a grid; received an interval.")
        return values

    def description(self) -> dict[str, object]:
        """A plain container that is equal for equal spaces, also after it has been through JSON."""
        described = {
            parameter.name: {"kind": type(parameter.distribution).__name__, **parameter.distribution._asdict()}
            for parameter in self.parameters
        }
        return json.loads(json.dumps(described))

    def _active(self, overrides: Mapping[str, object]) -> Iterator[Parameter]:
        for parameter in self.parameters:
            if parameter.condition is None or text(overrides.get(parameter.condition[0])) == parameter.condition[1]:
                yield parameter
