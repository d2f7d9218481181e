"""The rows of the gallery's tables: the commands in params.yaml, and their measured results."""

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
    """One line of a table.

    Args:
        arguments: of `python -m src.train`, without the seed. `<NAME>` stands for the folder of a run of the row NAME, which is
            trained if it does not exist.
        each: further arguments as KEY=VALUE, all with the same key; there is a run with each of them.
        shown: metrics of the test split; empty for the headline of the task.
        published: the results of others, quoted as they stand.
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
    def full_command(self) -> str:
        """The command of all runs, as a user types it. The folder of another row's run is a shell variable with its name."""
        grid = [f"seed={','.join(map(str, self.seeds))}"] if len(self.seeds) > 1 else []
        if self.each:
            keys, values = zip(*(one.split("=", 1) for one in self.each), strict=True)
            grid.append(f"{keys[0]}={','.join(values)}")
        arguments = [re.sub(r"<(\w+)>", lambda match: f"${match[1].upper()}", argument) for argument in self.arguments]
        return " ".join([COMMAND, *(["-m"] if grid else []), *arguments, *grid])

    @property
    def measured(self) -> Mapping[str, Any]:
        """The content of the row's file; empty if it was not measured, or with another command or without a metric."""
        content = read_json(self.path, remedy=f"Measure it again: python -m pipelines.gallery measure {self.name}")
        same = content and (content["command"], [*content["runs"]]) == (self.command, [*self._differences])
        return content if same and all({*self.shown} <= {*run["test"]} for run in content["runs"].values()) else {}

    @property
    def _differences(self) -> dict[str, list[str]]:
        """The arguments of each run that the others do not have, by their text."""
        lists = [[*each, f"seed={seed}"] for seed in self.seeds for each in ([[one] for one in self.each] or [[]])]
        return {" ".join(arguments): arguments for arguments in lists}

    def run(self, difference: Sequence[str] | None = None) -> Path:
        """The folder of a run, which is trained if it does not exist.

        Args:
            difference: its arguments that the others do not have; those of the first run if none are stated.
        """
        own = next(iter(self._differences.values())) if difference is None else difference
        shared = [re.sub(r"<(\w+)>", lambda match: str(find(match[1]).run()), argument) for argument in self.arguments]
        return _train([*shared, *own])

    def measure(self) -> None:
        """Trains each run if it does not exist, and writes the row's file."""
        results = {}
        for name, difference in self._differences.items():
            run = self.run(difference)
            config: Any = OmegaConf.load(run / "config.yaml")
            metrics, timings = read_json(run / "metrics.json"), read_json(run / "timings.json")
            tests = {name.removeprefix("test/"): value for name, value in metrics.items() if name.startswith("test/")}
            shown = {*self.shown, *config.evaluation.headline}  # of the metrics of single classes only these are kept
            tests = {name: value for name, value in tests.items() if "/" not in name or name in shown}
            results[name] = {"run": run.name, "test": tests, **{name: timings[name] for name in COSTS if name in timings}}
        tags = read_json(run / "record.json")["tags"]  # of the time when it was trained
        write_json(
            self.path,
            {
                "command": self.command,
                "objective": OmegaConf.to_container(config.objective),
                "headline": list(config.evaluation.headline),
                "parameters": metrics["parameters"],
                "flops": metrics.get("flops"),
                "runs": results,
                "commit": tags.get("mlflow.source.git.commit"),
                "dirty": is_dirty(run),
                "machine": {name: tags[name] for name in ("device", "cpus", "python")},
            },
        )


def read(path: Path = HERE / "params.yaml") -> list[Row]:
    """The rows of params.yaml."""
    params: Any = OmegaConf.to_container(OmegaConf.load(path))
    return [Row(name=name, **row.pop("train"), **row) for name, row in params["rows"].items()]


def find(name: str) -> Row:
    """The row of params.yaml with this name.

    Raises:
        InputError: there is none.
    """
    rows = {row.name: row for row in read()}
    if name not in rows:
        raise InputError(f"{name}: expected a row of {HERE / 'params.yaml'}, one of {', '.join(rows)}.")
    return rows[name]


def mean(row: Mapping[str, Any], name: str) -> tuple[float, float | None]:
    """A metric's mean over the runs and its standard deviation, None for one run."""
    values = [run["test"][name] for run in row["runs"].values()]
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def is_dirty(run: Path) -> bool:
    """Whether there were uncommitted changes, except of measured rows, when a run was trained."""
    diff = run / "uncommitted.diff"
    changed = re.findall(r"^diff --git a/(\S+) ", diff.read_text(), re.MULTILINE) if diff.is_file() else []
    return any(not name.startswith(f"{HERE.parent.name}/{HERE.name}/rows/") for name in changed)


def _train(arguments: Sequence[str]) -> Path:
    """The run of a command, in a process of its own, as a user starts it."""
    print(f"$ python -m src.train {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "src.train", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise RunFailed(f"{' '.join(arguments)}: expected exit code 0; received {done.returncode}.")
    return Path(done.stdout.rpartition("run: ")[2].strip())
