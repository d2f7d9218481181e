"""What every optimizer of conf/optimizer and every schedule of conf/scheduler must do, in a short training on the digits."""

import math
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from src.config import assembly, checks, composition
from src.data.store import Prepared
from src.errors import InputError
from tests.nets import end, fit, values

SHORT = (
    "model.hidden=[8]",
    "data.batch_size=64",
    "trainer.limit_batches=5",
    "trainer.log_every_n_steps=1",
    "trainer.progress_bar=false",
    "trainer.accelerator=cpu",
)
OPTIMIZERS, SCHEDULERS = checks.options("optimizer"), checks.options("scheduler")


def trained(digits: tuple[DictConfig, Prepared], folder: Path, *overrides: str) -> Any:
    experiment = assembly.build(assembly.complete(composition.compose([*SHORT, *overrides]), digits[1]), digits[1])
    return fit(experiment.learner, experiment.data, folder)


def test_the_documented_options_exist():
    assert {"adam", "adamw", "sgd", "rmsprop", "adagrad"} <= set(OPTIMIZERS)
    assert {"constant", "step", "cosine", "one_cycle", "plateau", "warm_up_cosine"} <= set(SCHEDULERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_learns(name, digits, tmp_path):
    trained(digits, tmp_path / "run", f"optimizer={name}", "trainer.max_epochs=6")
    losses = values(tmp_path / "run", "val/loss")
    assert losses[-1] < losses[0]


CURVES = {
    "constant": (lambda step: 1.0, ()),
    "step": (lambda step: 0.1 ** (step // 10), ("scheduler.step_size=2",)),
    "cosine": (lambda step: (1 + math.cos(math.pi * (step // 5) / 4)) / 2, ()),
    "warm_up_cosine": (
        lambda step: (step + 1) / 6 if step < 5 else (1 + math.cos(math.pi * (step - 5) / 15)) / 2,
        ("scheduler.share=0.25",),
    ),
    "cosine_to_tenth": (
        lambda step: (step + 1) / 2 if step < 1 else 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 1) / 19)) / 2,
        (),
    ),
    # An accuracy that rises is no better where the least is best: the rate is halved from the third epoch on.
    "plateau": (lambda step: 0.5 ** max(step // 5 - 1, 0), ("scheduler.patience=0", "scheduler.mode=min")),
    "one_cycle": (None, ()),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_schedule_gives_its_rates(name, digits, tmp_path):
    curve, settings = CURVES[name]
    result = trained(digits, tmp_path / "run", f"scheduler={name}", "trainer.max_epochs=4", *settings)
    assert result.steps == end(tmp_path / "run")["global_step"] == 20  # the state of each can be read again
    rates = values(tmp_path / "run", "train/lr")
    if curve is None:
        assert max(rates) == pytest.approx(1e-3, rel=0.05)
        assert rates[-1] < 2e-5
        return
    by_step = name in ("warm_up_cosine", "cosine_to_tenth")  # then the rate is logged when the schedule has moved on
    assert rates == pytest.approx([1e-3 * curve(step + by_step) for step in range(20)], abs=1e-9)


def test_clipping_accumulation_and_early_stopping_are_settings_alike(digits, tmp_path):
    settings = ("trainer.gradient_clip_val=0.5", "trainer.accumulate_grad_batches=2", "callbacks=early_stopping")
    result = trained(digits, tmp_path / "run", *settings, "callbacks.early_stopping.patience=1", "optimizer.lr=0.0")
    assert (result.epochs, result.steps) == (2, 6)  # five batches are three steps; the second epoch is no better


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["scheduler=cosine", "trainer.max_epochs=null", "trainer.max_steps=9"],
            r"scheduler\.T_max: expected a number; received",
        ),
        (["scheduler=one_cycle", "scheduler.pct_start=2.0"], "expected settings that OneCycleLR takes; it says: .*pct_start"),
    ],
)
def test_settings_that_a_schedule_cannot_use_are_refused_before_the_first_step(digits, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        trained(digits, tmp_path / "run", *settings)


def test_a_share_out_of_range_is_refused(digits):
    config = assembly.complete(composition.compose(["scheduler=warm_up_cosine", "scheduler.share=1.0"]), digits[1])
    with pytest.raises(
        InputError, match=r"scheduler: src.optimization.schedule.WarmUpCosine refuses its settings: share: .*1.0"
    ):
        assembly.build(config, digits[1])
