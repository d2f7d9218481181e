"""The results of one experiment, as the stages wrote them to results/."""

from __future__ import annotations

import csv
import itertools
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from omegaconf import OmegaConf

from pipelines import provenance
from src.config import composition, sources
from src.errors import InputError
from src.runs import repeats
from src.runs.files import read_json
from src.runs.masking import mask
from src.tracking import deferred_upload, store, upload_state

RESULTS = Path("results")
NOT_VALUES = ("study", "trial", "confirmed", "overrides", "nodes")  # keys of tuned.yaml that name no objective
FILES = (
    "inputs/card.json",
    "evaluation/metrics.json",
    "evaluation/intervals.json",
    "evaluation/timings.json",
    "evaluation/evaluation_settings.json",
    "evaluation/analyses.json",
    "evaluation/run.json",
)
REPRO = "Run: dvc repro"  # it makes a file anew that is not as a stage left it
PATIENCE = 120.0  # seconds for the uploader to bring a record to the store
UI = "http://127.0.0.1:5000"  # where `make ui` serves a local store
MODE = "?workflowType=machine_learning"  # of MLflow's pages, which else are those for language models


class Estimate(NamedTuple):
    """A value and its 95 % interval, where they are known."""

    value: float | None = None
    interval: Sequence[float] | None = None


@dataclass(frozen=True)
class Search:
    """The search before a training.

    Args:
        best: objectives and overrides of the best trial, by name.
        states: how many trials ended in which state.
        link: to the study in MLflow.
    """

    best: Mapping[str, Any]
    states: Mapping[str, int]
    figures: Sequence[Path]
    link: str | None


@dataclass(frozen=True)
class Entry:
    """The results of one experiment.

    Args:
        numbers: metrics and timings.
        intervals: of the metrics, at 95 %.
        analyses: names of the metrics that come from an analysis, by its name.
        record: what is known of the run, as `provenance.of_record` gives it.
        progress: figures that the training drew, in their order.
        link: to the run in MLflow.
        members: the experiments whose mean this is; empty where it is one itself. All but the numbers is that of the first.
    """

    name: str
    description: str
    card: Mapping[str, Any]
    config: Mapping[str, Any]
    numbers: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    analyses: Mapping[str, Sequence[str]]
    record: Mapping[str, Any]
    epochs: Sequence[Mapping[str, str]]
    figures: Sequence[Path]
    progress: Sequence[Path]
    link: str | None
    search: Search | None
    members: Sequence[Entry] = ()

    @property
    def fold(self) -> int | None:
        """None where its data are not divided into folds."""
        return repeats.fold(self.config)

    @property
    def repeated(self) -> str:
        """What it is the mean over; empty where it is one experiment."""
        counts = {
            "folds": len({one.fold for one in self.members}),
            "seeds": len({one.config.get("seed") for one in self.members}),
        }
        return " and ".join(f"{count} {what}" for what, count in counts.items() if count > 1)

    @property
    def data(self) -> str:
        """The name of the data set."""
        return provenance.data_name(self.card, self.config)

    @property
    def settings(self) -> dict[str, str]:
        return provenance.settings(self.config)

    @property
    def origin(self) -> dict[str, str]:
        return provenance.origin(
            self.members[0].name if self.members else self.name, self.record, self.numbers, tuned=self.search is not None
        )

    @property
    def costs(self) -> dict[str, float]:
        """The numbers that are no scores."""
        return {key: value for key, value in self.numbers.items() if "/" not in key and key not in provenance.OTHERS and value}

    def estimate(self, name: str) -> Estimate:
        value = self.numbers.get(name, math.nan)
        return Estimate(value, self.intervals.get(name)) if math.isfinite(value) else Estimate()


def read(name: str) -> Entry:
    """The results of one experiment. Waits until its record is in the tracking store.

    Raises:
        InputError: a stage has not run.
    """
    folder = RESULTS / name
    missing = [file for file in (*FILES, "model/config.yaml", "learning.csv") if not (folder / file).is_file()]
    if missing:
        raise InputError(f"{folder}: expected the results of {name}; there is no {', '.join(missing)}. {REPRO}")
    keys = {"inputs/card.json": ("content", "name"), "evaluation/run.json": ("folder",)}
    card, metrics, intervals, timings, settings, analyses, run = (
        read_json(folder / file, keys=keys.get(file, ()), remedy=REPRO) for file in FILES
    )
    config: Any = OmegaConf.to_container(sources.load(folder / "model/config.yaml", keys=("evaluation", "data"), remedy=REPRO))
    config |= settings  # of the evaluation; the model's own file may state those of an earlier one
    return Entry(
        name=name,
        description=_description(Path("conf/experiment") / f"{name}.yaml"),
        card=card,
        config=config,
        numbers={**metrics, **timings},
        intervals=intervals,
        analyses=analyses,
        record=run,
        epochs=list(csv.DictReader((folder / "learning.csv").read_text().splitlines())),
        figures=sorted((folder / "figures").glob("*.png")),
        progress=sorted((folder / "figures" / "training").glob("*.png")),
        link=link(_uploaded(Path(run["folder"]))),
        search=_search(folder),
    )


def own_store() -> str:
    """The address of the user's own tracking store. A record that came from someone else may name another one."""
    return store.address(composition.compose([]).tracking.uri)


def _search(results: Path) -> Search | None:
    """The search before a training; None where there was none."""
    tuned, folder = results / "inputs" / "tuned.yaml", results / "search"
    if not tuned.is_file():
        return None
    best: Any = OmegaConf.to_container(sources.load(tuned, remedy=REPRO))
    confirmed = {"with fresh seeds": best["confirmed"]["mean"]} if "confirmed" in best else {}
    trials = csv.DictReader((folder / "trials.csv").read_text().splitlines())
    study = Path(read_json(folder / "run.json", keys=("folder",), remedy=REPRO)["folder"])
    return Search(
        best={**{key: value for key, value in best.items() if key not in NOT_VALUES}, **confirmed, **best["overrides"]},
        states=Counter(row["state"].lower() for row in trials),
        figures=sorted((folder / "figures").glob("*.png")),
        link=link(_uploaded(study)),
    )


def _description(path: Path) -> str:
    """The comment at the head of an experiment's file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.removeprefix("#").strip() for line in comment if not line.startswith("# @package"))


def _uploaded(folder: Path) -> dict[str, Any]:
    """What the store confirmed of a run's or study's record. One that the uploader does not bring there is uploaded here."""
    try:
        record = upload_state.read_record(folder)
        if record and not upload_state.uploaded(folder):  # else no store has to be known, which takes a composition
            own = own_store()
            if store.same(record["uri"], own) and (away := store.check(own)):
                raise ConnectionError(away)
            if not deferred_upload.settle(folder, seconds=PATIENCE, uri=own):
                deferred_upload.upload(folder, own)
    except Exception as error:  # whatever keeps a record here does not hold up the report
        text = f"report: {folder} is not in the store: {mask(str(error))}. `python -m pipelines.sync` uploads it."
        print(text, file=sys.stderr)
    try:
        return upload_state.read_state(folder)
    except InputError:  # said above
        return {}


def link(state: Mapping[str, Any]) -> str | None:
    """The page of an uploaded run in the MLflow UI."""
    uri, experiment = state.get("uri", ""), state.get("experiment")
    if experiment is None or not uri.startswith(("sqlite:", "http:", "https:")):
        return None
    parts = urlsplit(uri)
    server = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")  # without a password
    return f"{UI if parts.scheme == 'sqlite' else server}/#/experiments/{experiment}/runs/{state['run']}{MODE}"
