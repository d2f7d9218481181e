"""The table at the end of a grid: the mean of each choice, its deviation over seeds or folds, and its interval."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.config import by_hydra
from src.config.grid import Job, table
from src.errors import InputError
from src.runs.files import write_json
from src.runs.folder import Run


def run(name: str, *, split: dict[str, int] | None = None, **metrics: float) -> Run:
    """A finished run with a headline of two scores."""
    one = Run(Path("runs") / name)
    write_json(one.metrics, {"epochs": 1, **{f"{key.replace('_', '/')}": value for key, value in metrics.items()}})
    config = {"evaluation": {"headline": {"accuracy": "max", "loss": "min"}}, "data": {"dataset": {"split": split or {}}}}
    one.config.write_text(OmegaConf.to_yaml(config))
    return one


def test_seeds_of_a_choice_are_one_line(project):
    jobs = [
        Job(
            ["+experiment=cnn", f"model.width={width}", f"seed={seed}"],
            run(f"{width}-{seed}", test_accuracy=score, val_loss=1.0),
        )
        for width, seed, score in ((16, 0, 0.8), (16, 1, 0.9), (32, 0, 0.7), (32, 1, 0.7))
    ]
    lines = [line.split("  ") for line in table(jobs).splitlines()]
    assert lines[0] == ["grid: 4 of 4 runs are finished"]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines[1:]]
    assert cells == [
        ["seeds", "val/loss", "test/accuracy"],
        ["model.width=16", "2", "1.0000 ± 0.0000", "0.8500 ± 0.0707"],
        ["95 %", "1.0000 to 1.0000", "0.2147 to 1.4853"],
        ["model.width=32", "2", "1.0000 ± 0.0000", "0.7000 ± 0.0000"],
        ["95 %", "1.0000 to 1.0000", "0.7000 to 0.7000"],
    ]


def test_a_run_that_failed_is_counted_and_left_out(project):
    jobs = [Job(["model.width=16"], run("16", val_loss=0.5)), Job(["model.width=32"], None)]
    assert table(jobs).splitlines() == [
        "grid: 1 of 2 runs are finished",
        "                  val/loss",
        "  model.width=16  0.5000",
    ]


@pytest.mark.parametrize("overrides", [[["a=1", "seed=0"], ["a=1", "seed=1"]], [["seed=3"], ["seed=4"]]])
def test_a_grid_of_seeds_alone_is_one_line(project, overrides):
    lines = table([Job(one, run(str(number), val_loss=0.5)) for number, one in enumerate(overrides)]).splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [["all", "seeds", "2"], ["95", "%", "0.5000"]]


def test_folds_of_a_choice_are_one_line(project):
    fold = "data.dataset.split.fold"
    jobs = [
        Job(
            [f"{fold}={number}", "data.dataset.split.folds=2"],
            run(str(number), split={"folds": 2, "fold": number}, test_accuracy=score, val_loss=1.0),
        )
        for number, score in enumerate((0.8, 0.9))
    ]
    lines = [line.split() for line in table(jobs).splitlines()]
    assert lines[1] == ["runs", "val/loss", "test/accuracy"]
    assert lines[2] == ["all", "folds", "2", "1.0000", "±", "0.0000", "0.8500", "±", "0.0707"]
    reach = 12.7062 * 0.0707107 * (1 / 2 + 1) ** 0.5
    assert lines[3] == ["95", "%", "1.0000", "to", "1.0000", f"{0.85 - reach:.4f}", "to", f"{0.85 + reach:.4f}"]


@pytest.mark.slow
def test_each_job_is_checked_before_the_first_one_starts(project):
    with pytest.raises(InputError, match=r"trainer\.max_epochs: expected .*; received -2"):
        by_hydra._check_grid(["+experiment=cnn", "trainer.max_epochs=1,-2"], [])
    by_hydra._check_grid(["+experiment=cnn", "trainer.max_epochs=1,2", "seed=0,1"], [])
    with pytest.raises(InputError, match=r"-m: expected trainer\.devices=1"):
        by_hydra._check_grid(["+experiment=cnn", "trainer.devices=1,2"], [])
