"""Run folders as a command leaves them, which no training made."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src.config import composition
from src.runs.files import write_json
from src.runs.folder import UPLOADED

HOUR = 3_600_000  # milliseconds
BEGIN = 1_800_000_000_000


def stored(name: str, *overrides: str, hour: int = 0, status: str = "FINISHED", run: str = "", **metrics: float) -> Path:
    """A run folder in the working folder, with a whole configuration.

    Args:
        overrides: of the configuration.
        hour: when it started.
        run: its id in MLflow; empty where its record is not there yet.
        metrics: of the test split; without any the training is not finished.
    """
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    config = composition.resolve(composition.compose(overrides))
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    write_json(folder / "record.json", {"status": status, "started": BEGIN + hour * HOUR})
    if metrics:
        numbers: dict[str, Any] = {"epochs": 3, "best_epoch": 2, "parameters": 53_098}
        write_json(folder / "metrics.json", {**numbers, **{f"test/{key}": value for key, value in metrics.items()}})
        write_json(folder / "timings.json", {"fit_seconds": 2.5})
    if run:
        write_json(folder / UPLOADED, {"run": run})
    return folder
