"""Experiments that differ in their seed or their fold alone are one row of the report, with the mean over them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from pipelines.results import Entry
from src.runs import repeats
from src.runs.identity import flat
from src.runs.repeats import REPEATED, Value

# What follows from the seed or the fold: the draw of labelled examples, and the statistics of a target over the training split.
DEPENDENT = ("name", "data.seed", "data.target_mean", "data.target_std")


def merged(entries: Sequence[Entry]) -> list[Entry]:
    """The experiments, each at its place, with one in place of the first of those that are repeats of each other."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        rest = {key: value for key, value in flat(entry.config) if key not in (*REPEATED, *DEPENDENT)}
        groups.setdefault(json.dumps([data_key(entry), rest], sort_keys=True, default=str), []).append(entry)
    taken = {entry.name for entry in entries}
    means = []
    for own in groups.values():
        are_repeats = len({(entry.config.get("seed"), entry.fold) for entry in own}) == len(own) > 1
        means += [_mean(own, taken)] if are_repeats else own
    return means


def data_key(entry: Entry) -> str:
    """What experiments on the same data share: their content, or, of folds, whose splits differ, all but their split."""
    card = entry.card
    if entry.fold is None:
        return str(card["content"])
    counts = card["class_counts"]
    totals = [sum(each) for each in zip(*counts.values(), strict=True)] if counts else sum(card["counts"].values())
    split = {key: value for key, value in card["split"].items() if key != "fold"}
    return json.dumps([card["name"], card["source"], card["classes"], card["arrays"], totals, split])


def _mean(own: Sequence[Entry], taken: set[str]) -> Entry:
    """One entry for several: the mean of each number that all have, and its interval where it is a score."""
    first, numbers, intervals = own[0], dict[str, float](), dict[str, Sequence[float]]()
    for key in first.numbers:
        if all(key in entry.numbers for entry in own):
            mean = repeats.mean([Value(entry.numbers[key], entry.fold) for entry in own])
            is_constant = len({entry.numbers[key] for entry in own}) == 1
            numbers[key] = first.numbers[key] if is_constant else mean.value
            if mean.interval is not None and "/" in key:
                intervals[key] = mean.interval
    shared = takewhile(lambda letters: len({*letters}) == 1, zip(*(entry.name for entry in own), strict=False))
    common = "".join(letters[0] for letters in shared).rstrip("_-.")
    name = common if common and common not in taken else f"{first.name}_and_{len(own) - 1}_more"
    card = {**first.card, "split": {key: value for key, value in first.card["split"].items() if key != "fold"}}
    return replace(first, name=name, card=card, numbers=numbers, intervals=intervals, link=None, members=own)
