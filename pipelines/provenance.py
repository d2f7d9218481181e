"""What decided an experiment's result, and where and when it came about, as a reader sees it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src.runs.identity import flat

KEPT = ("started", "host", "cpus", "device", "commit", "dirty")  # of a run's record
OTHERS = {"fit_load_of_others": "the training", "latency_load_of_others": "the timed predictions"}


def of_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a report shows of the record of a run; empty where there is none."""
    tags = record.get("tags", {})
    values = {**tags, "started": record.get("started"), "commit": tags.get("mlflow.source.git.commit")}
    values["dirty"] = tags.get("git.dirty") == "true"
    return {key: values[key] for key in KEPT if values.get(key) is not None} if record else {}


def data_name(card: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The name of a data set; of a user's own, which all have the name of their kind, that of its folder."""
    root = config["data"].get("root")
    return Path(root).name if root else str(card["name"])


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings that a reader asks for first, by their names."""
    optimizer, data = config.get("optimizer") or {}, config["data"]
    rates = [f"{value:g}" for key, value in flat({"": optimizer}) if key.rpartition(".")[2] == "lr"]
    rows = {
        "model": _class(config, "model"),
        "learning rate": ", ".join(rates),
        "optimizer": _class(config, "optimizer"),
        "schedule": _class(config, "scheduler") or ("constant" if rates else ""),
        "batch size": data.get("batch_size") if rates else "",
        "augmentation": ", ".join(_steps(config.get("augmentation"))) or ("none" if rates else ""),
        "pretrained weights": (config.get("pretrained") or {}).get("weights"),
        "seed": config.get("seed"),
    }
    return {name: str(value) for name, value in rows.items() if value not in (None, "")}


def origin(name: str, record: Mapping[str, Any], numbers: Mapping[str, float], *, tuned: bool) -> dict[str, str]:
    """The command of an experiment, and the commit, time and machine of its run, as far as they are known."""
    rows = {"command": f"python -m src.train +experiment={name}{' tuned=true' if tuned else ''}"}
    if commit := record.get("commit"):
        rows["commit"] = commit[:12] + (" with uncommitted changes" if record.get("dirty") else "")
    if started := record.get("started"):
        rows["date"] = datetime.fromtimestamp(started / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if "host" in record:
        rows["machine"] = f"{record['host']}, {record['cpus']} processors, trained on {record['device']}"
    loads = [f"{numbers[key]:.0%} during {what}" for key, what in OTHERS.items() if key in numbers]
    if loads:
        rows["processors in use by others"] = ", ".join(loads)
    return rows


def _class(config: Mapping[str, Any], key: str) -> str:
    node = config.get(key)
    return str(node["_target_"]).rpartition(".")[2] if isinstance(node, Mapping) and "_target_" in node else ""


def _steps(augmentation: Mapping[str, Any] | None) -> Sequence[str]:
    return [key for key, node in (augmentation or {}).items() if isinstance(node, Mapping)]
