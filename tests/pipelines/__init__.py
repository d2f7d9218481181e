"""Fictitious results of experiments, whose tasks and metrics exist nowhere else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from src.tracking import upload_state

CARD = {
    "name": "pebbles",
    "source": "a beach",
    "content": "c0ffee" * 8,
    "counts": {"train": 1200, "val": 100, "test": 200},
    "classes": ["round", "<b>flat</b> | thin"],
    "class_counts": {"train": [700, 500], "val": [60, 40], "test": [110, 90]},
    "arrays": {"image": {"shape": [1500, 3, 8, 8], "dtype": "uint8"}, "target": {"shape": [1500], "dtype": "int64"}},
    "split": {"val": 0.1, "seed": 0, "own": ["test"]},
    "duplicates": {"val in train": 0, "test in train": 3},
}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content, sort_keys=False))


def results(
    name: str,
    values: dict[str, float],
    *,
    half: float = 0.01,
    metric: str = "grip",
    mode: str = "max",
    modes: dict[str, str | None] | None = None,
    evaluation: str = "made.up.Handling",
    settings: dict[str, Any] | None = None,
    keep: dict[str, list[int]] | None = None,
    card: dict[str, Any] | None = None,
    timings: dict[str, float] | None = None,
    parameters: int = 53_098,
    fingers: int = 5,
    figures: int = 1,
    seed: int | None = None,
    fold: int | None = None,
) -> Path:
    """The results of one experiment in the working folder, and its run folder.

    Args:
        values: metrics of the test split.
        modes: of the metrics that are not better if larger.
        settings: of the evaluation.
        keep: of the data, the only classes of a split.
        fingers: a setting of the model.
        half: half the width of each interval.
        fold: of three.
    """
    folder = Path("results") / name
    split = {"seed": 0, "val": 0.1, "folds": 3, "fold": fold} if fold is not None else {}
    if fold is not None:
        counts = {"train": [700 + fold, 500], "val": [60, 40], "test": [110 - fold, 90]}
        card = {"content": f"{fold}" * 48, "class_counts": counts, "split": {**split, "own": []}, **(card or {})}
    write(folder / "inputs" / "card.json", {**CARD, **(card or {})})
    config = {
        "name": name,
        "data": {"_target_": "made.up.Pebbles", "keep": keep or {}, "batch_size": 32, "dataset": {"split": split}},
        "model": {"_target_": "made.up.Hand", "fingers": fingers},
        "objective": {"metric": f"val/{metric}", "mode": mode},
        "evaluation": {
            "_target_": evaluation,
            "headline": {**dict.fromkeys(values, "max"), **(modes or {})},
            **(settings or {}),
        },
    }
    if seed is not None:
        config["seed"] = seed
    # The training knew other settings of the evaluation.
    write(folder / "model" / "config.yaml", {**config, "evaluation": {"_target_": evaluation, "headline": {}}})
    scores = {f"{split}/{key}": value for split in ("val", "test") for key, value in values.items()}
    write(
        folder / "evaluation" / "metrics.json",
        {"epochs": 3, "best_epoch": 2, "parameters": parameters, **scores, "test/grip/round": 0.25},
    )
    write(folder / "evaluation" / "intervals.json", {key: [value - half, value + half] for key, value in scores.items()})
    write(folder / "evaluation" / "timings.json", {"fit_seconds": 2.5} if timings is None else timings)
    write(folder / "evaluation" / "evaluation_settings.json", {"evaluation": config["evaluation"]})
    write(folder / "evaluation" / "analyses.json", {})
    write(folder / "evaluation" / "run.json", {"folder": f"runs/{name}-1"})
    (folder / "learning.csv").write_text("epoch,val/grip\n1,0.5\n2,0.75\n")
    (folder / "figures").mkdir()
    for number in range(figures):
        pixels = np.random.default_rng(number).integers(256, size=(60, 600, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "figures" / f"fingers_{number}.png")
    listed = yaml.safe_load(Path("params.yaml").read_text())["experiments"] if Path("params.yaml").is_file() else []
    write(Path("params.yaml"), {"experiments": [*listed, name]})
    return folder


def upload(name: str, uri: str, **state: Any) -> None:
    """A run folder whose record is whole in the store."""
    folder = Path("runs") / f"{name}-1"
    write(folder / "record.json", {**dict.fromkeys(upload_state.KEYS), "uri": uri, "status": "FINISHED", "ended": 7})
    write(folder / upload_state.STATE, {"uri": uri, "run": "abc", "status": "FINISHED", "ended": 7, "offset": 0, **state})
