"""The short table at the end of a run."""

from collections.abc import Mapping

from omegaconf import OmegaConf

from src.config import command_line, sources
from src.runs import headline
from src.runs.files import REMEDY, read_json
from src.runs.folder import EXPORTED_KEYS, Run
from src.tracking import journal


def summary(run: Run) -> str:
    """Epochs, the headline's metrics with their intervals, seconds and size of a finished run, and where it lies."""
    metrics, timings = read_json(run.metrics, keys=("best_epoch", "epochs", "parameters")), read_json(run.timings)
    config = sources.load(run.config, keys=EXPORTED_KEYS, remedy=REMEDY)
    rows = {"best epoch": f"{metrics['best_epoch']} of {metrics['epochs']}", **_headline(run, headline.scores(config, metrics))}
    if OmegaConf.select(config, "trainer.overfit_batches") and (losses := _training_losses(run)):
        rows["training loss"] = f"{losses[-1]:.4g}  (first epoch: {losses[0]:.4g})"
    if "fit_seconds" in timings:
        rows["training seconds"] = f"{timings['fit_seconds']:.1f}"
    rows["parameters"] = metrics["parameters"]
    return f"{command_line.table(rows)}\nrun: {run.folder}"


def _training_losses(run: Run) -> list[float]:
    """The mean of each epoch."""
    return [point["value"] for point in journal.read(run.journal) if point["name"] == "train/loss_epoch"]


def _headline(run: Run, scores: Mapping[str, float]) -> dict[str, str]:
    intervals, rows = read_json(run.intervals), {}
    for name, score in scores.items():
        low, high = intervals.get(name, (None, None))
        rows[name] = f"{score:.4f}" + (f"  (95 %: {low:.4f} to {high:.4f})" if low is not None else "")
    return rows
