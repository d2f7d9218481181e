"""The runs of a folder as rows of a table: how each stands, its scores, its timings and its settings.

A damaged file of one run hides no other run, and nothing of its own run but what the file would say.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from src.config import options, sources
from src.errors import InputError
from src.runs import headline
from src.runs.files import REMEDY, read_json
from src.runs.folder import CONFIG_KEYS, UPLOADED, Run
from src.runs.identity import flat

STATES = ("running", "finished", "interrupted", "failed", "submitted", "damaged")
LOCAL = ("paths", "tracking", "trust", "force")  # keys of a configuration that say nothing of its run
MISSING = "Delete metrics.json beside it; the command that trained the run then writes both anew."
FILES = ("config.yaml", "record.json", "metrics.json", "identity.json", "submission", ".lock")  # one of them makes a run


@dataclass(frozen=True)
class Row:
    """One run.

    Args:
        values: by the name of the column: `run`, `state`, `started`, `mlflow` (its id there) and `problem`; the metrics and
            timings by the names that they have in their files; every setting by its dotted key; and for a group of conf/ the
            option that was chosen. What is not known is None, or left out.
        headline: the names of the metrics to show first.
    """

    run: Run
    values: Mapping[str, Any]
    headline: Sequence[str] = field(default_factory=tuple)

    @property
    def state(self) -> str:
        return str(self.values["state"])


def rows(folder: Path) -> list[Row]:
    """The runs of a folder, the newest first.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"runs={folder}: expected a folder of runs; there is none. Train something first, or name another one."
        )
    with os.scandir(folder) as entries:
        paths = [folder / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    found = [row(Run(path)) for path in paths if any((path / name).exists() for name in FILES)]
    return sorted(found, key=lambda one: (str(one.values["started"]), str(one.values["run"])), reverse=True)


def row(run: Run) -> Row:
    """What is known of one run."""
    problems: list[str] = []

    def read(load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return load()
        except InputError as error:
            problems.append(str(error))
            return {}

    running = run.locked()
    record, metrics = read(lambda: read_json(run.record)), read(lambda: read_json(run.metrics))
    timings, uploaded = read(lambda: read_json(run.timings)), read(lambda: read_json(run.folder / UPLOADED))
    begun = any(path.exists() for path in (run.config, run.record, run.metrics))  # a run writes its configuration first
    config = read(lambda: configuration(run.config)) if begun else {}
    state = "running" if running else "damaged" if problems else _state(run, record)
    values = {
        "run": run.folder.name,
        "state": state,
        "started": _date(record.get("started")) or _date(run.folder.stat().st_mtime * 1000),
        **metrics,
        **timings,
        **_settings(config),
        "mlflow": uploaded.get("run"),
        "problem": " ".join(problems) or None,
    }
    return Row(run, values, tuple(headline.scores(config, metrics)) if config else ())


def configuration(path: Path) -> dict[str, Any]:
    """The configuration that a run has stored, as a plain container. Nothing that it names is looked at or imported.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        content = yaml.load(path.read_text(), options.Loader)
    except FileNotFoundError as error:
        raise InputError(f"expected the file {path}; there is none. {MISSING}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: expected a file; received a folder. {REMEDY}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"{sources.defect(error, path)} {REMEDY}") from error
    missing = [key for key in CONFIG_KEYS if key not in content] if isinstance(content, dict) else [*CONFIG_KEYS]
    if missing or not isinstance((content["evaluation"] or {}).get("headline"), dict):
        raise InputError(f"{path}: expected a whole file; it has no {', '.join(missing) or 'evaluation.headline'}. {REMEDY}")
    return content


def _state(run: Run, record: Mapping[str, Any]) -> str:
    if run.fitted and record.get("status") in (None, "FINISHED"):
        return "finished"
    if record.get("status") == "FAILED":
        return "failed"
    return "interrupted" if record or run.last.is_file() or not (run.folder / "submission").is_dir() else "submitted"


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = dict(flat({key: node for key, node in config.items() if key not in LOCAL}))
    return {**settings, **{group: name for group in options.GROUPS if (name := options.chosen(group, config.get(group)))}}


def _date(milliseconds: object) -> str | None:
    """A moment in the time of this machine; as text, its order is that of time."""
    if not isinstance(milliseconds, int | float):
        return None
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000))
