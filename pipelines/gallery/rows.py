"""The rows of the table of figures: what params.yaml asks for, and what was measured."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src.errors import InputError, RunFailed
from src.runs.files import read_json, write_json

HERE = Path(__file__).parent
COMMAND = "python -m src.train"
COSTS = ("fit_seconds", "latency_one_ms")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        arguments: of `python -m src.train`, without the seed. `<NAME>` in one stands for a run of the row of that name, which
            is trained where it is not there yet.
        each: values of one argument, as KEY=VALUE, of which every run has one besides.
        shown: metrics of the test part; empty for the headline of the task.
        published: what others report, as it is to be quoted.
        folder: of the measured rows.
    """

    name: str
    arguments: Sequence[str]
    seeds: Sequence[int]
    each: Sequence[str] = ()
    shown: Sequence[str] = ()
    published: str = ""
    folder: Path = HERE / "rows"

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def command(self) -> str:
        return " ".join([COMMAND, *self.arguments])

    @property
    def whole(self) -> str:
        """The command of all its runs, as a user types it: the folder of a row's run stands in a variable of its name."""
        swept = [f"seed={','.join(map(str, self.seeds))}"] if len(self.seeds) > 1 else []
        if self.each:
            keys, values = zip(*(one.split("=", 1) for one in self.each), strict=True)
            swept.append(f"{keys[0]}={','.join(values)}")
        arguments = [re.sub(r"<(\w+)>", lambda match: f"${match[1].upper()}", argument) for argument in self.arguments]
        return " ".join([COMMAND, *(["-m"] if swept else []), *arguments, *swept])

    @property
    def measured(self) -> Mapping[str, Any]:
        """What `measure` left; empty where nobody measured it, or something else than is asked for now."""
        found = read_json(self.path)
        same = found and (found["command"], [*found["runs"]]) == (self.command, [*self._own])
        return found if same and all({*self.shown} <= {*run["test"]} for run in found["runs"].values()) else {}

    @property
    def _own(self) -> dict[str, list[str]]:
        """What each run's arguments have that those of the others lack."""
        found = [[*each, f"seed={seed}"] for seed in self.seeds for each in ([[one] for one in self.each] or [[]])]
        return {" ".join(own): own for own in found}

    def run(self, own: Sequence[str] | None = None) -> Path:
        """The folder of a run, the first one where nothing is said; it is trained where it is not there yet."""
        chosen = next(iter(self._own.values())) if own is None else own
        filled = [re.sub(r"<(\w+)>", lambda match: str(find(match[1]).run()), argument) for argument in self.arguments]
        return _train([*filled, *chosen])

    def measure(self) -> None:
        """Trains, or finds, each run, and leaves the row's file."""
        found = {}
        for name, own in self._own.items():
            run = self.run(own)
            config: Any = OmegaConf.load(run / "config.yaml")
            metrics, timings = read_json(run / "metrics.json"), read_json(run / "timings.json")
            tests = {name.removeprefix("test/"): value for name, value in metrics.items() if name.startswith("test/")}
            kept = {*self.shown, *config.evaluation.headline}  # of the figures of single classes
            tests = {name: value for name, value in tests.items() if "/" not in name or name in kept}
            found[name] = {"run": run.name, "test": tests, **{name: timings[name] for name in COSTS if name in timings}}
        tags = read_json(run / "record.json")["tags"]  # of the time when it was trained
        write_json(
            self.path,
            {
                "command": self.command,
                "objective": OmegaConf.to_container(config.objective),
                "headline": list(config.evaluation.headline),
                "parameters": metrics["parameters"],
                "flops": metrics.get("flops"),
                "runs": found,
                "commit": tags.get("mlflow.source.git.commit"),
                "dirty": _dirty(run),
                "machine": {name: tags[name] for name in ("device", "cpus", "python")},
            },
        )


def read(path: Path = HERE / "params.yaml") -> list[Row]:
    """The rows that params.yaml asks for."""
    asked: Any = OmegaConf.to_container(OmegaConf.load(path))
    return [Row(name=name, **row.pop("train"), **row) for name, row in asked["rows"].items()]


def find(name: str) -> Row:
    rows = {row.name: row for row in read()}
    if name not in rows:
        raise InputError(f"{name}: expected a row of {HERE / 'params.yaml'}, one of {', '.join(rows)}.")
    return rows[name]


def mean(row: Mapping[str, Any], name: str) -> tuple[float, float | None]:
    """A metric's mean over the runs and its standard deviation, None for one run."""
    values = [run["test"][name] for run in row["runs"].values()]
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _dirty(run: Path) -> bool:
    """Whether anything else than measured rows had uncommitted changes when a run was trained."""
    diff = run / "uncommitted.diff"
    changed = re.findall(r"^diff --git a/(\S+) ", diff.read_text(), re.MULTILINE) if diff.is_file() else []
    return any(not name.startswith(f"{HERE.parent.name}/{HERE.name}/rows/") for name in changed)


def _train(arguments: Sequence[str]) -> Path:
    """The run of a command that is typed as a user would."""
    print(f"$ python -m src.train {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "src.train", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise RunFailed(f"{' '.join(arguments)}: expected a run that comes to its end; it left with {done.returncode}.")
    return Path(done.stdout.rpartition("run: ")[2].strip())
