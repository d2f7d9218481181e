"""The search for a learning rate, by its command and on real data."""

import math
import re
from typing import Any

import pandas as pd
import pytest

from src import find_lr
from src.config import assembly, command_line, composition
from src.errors import InputError
from src.evaluation import scoring
from src.evaluation.rates import STEEPEST, TENTH
from src.protocols import NullSink
from src.runs.folder import CONFIG_KEYS
from tests.repository import ROOT, run

SMALL = ("+experiment=fnn", "model.hidden=[32]", "trainer.accelerator=cpu", "trainer.progress_bar=false")


@pytest.fixture
def find(digits, project, capsys):
    """Searches on the digits; gives what is printed and the table."""

    def search(*overrides: str) -> tuple[dict[str, Any], pd.DataFrame]:
        prepared = f"paths.prepared={digits[1].folder.parent}"
        find_lr.find(command_line.configure([*SMALL, prepared, *overrides, find_lr.GROUP]))
        *rows, last = capsys.readouterr().out.splitlines()
        printed: dict[str, Any] = dict(re.split(r" {2,}", row.strip(), maxsplit=1) for row in rows)
        proposals = {name: value if "ended" in name else float(value) for name, value in printed.items()}
        return proposals, pd.read_csv(project / last.removeprefix("rates: ") / "rates.csv")

    return search


@pytest.mark.slow
def test_the_command_leaves_a_figure_and_a_table_and_no_run(project):
    printed = run(project, "python", "-m", "src.find_lr", *SMALL, "finder.steps=60", PYTHONPATH=str(ROOT)).stdout
    *rows, last = printed.splitlines()
    assert [row[2:].split("  ")[0] for row in rows] == [STEEPEST, TENTH, "the search ended"]
    folder = project / last.removeprefix("rates: ")
    assert folder.parent == project / "rates"
    assert {path.name for path in folder.iterdir()} == {"rates.csv", "rates.png"}
    assert {path.name for path in project.iterdir()} == {"rates", "data"}
    table = pd.read_csv(folder / "rates.csv")
    assert list(table) == ["rate", "loss", "smoothed"]
    assert table["loss"][:10].mean() == pytest.approx(math.log(10), abs=0.4), "what an untrained network loses"


@pytest.mark.slow
def test_the_proposals_train_well_and_rates_ten_times_as_large_do_not(find, digits, project):
    """Plain gradient descent on the real digits, which learns best with a rate of about 0.3."""
    plain = ("optimizer=sgd", "optimizer.momentum=0.0", "optimizer.nesterov=false", "trainer.max_epochs=3")
    proposals, _ = find(*plain, "finder.first=1e-4", "finder.last=100.0", "finder.steps=80")

    def accuracy(rate: float) -> float:
        config = assembly.complete(composition.compose([*SMALL, *plain, f"optimizer.lr={rate}"]), digits[1])
        experiment = assembly.build(config, digits[1])
        (folder := project / str(rate)).mkdir()
        experiment.learner.fit(experiment.data, folder=folder, sink=NullSink())
        return scoring.evaluate(experiment, "val").metrics["val/accuracy"]

    assert set(proposals) >= {STEEPEST, TENTH}
    for name in (STEEPEST, TENTH):
        assert 0.03 < proposals[name] < 3, name
    accuracies = {rate: accuracy(rate) for rate in (proposals[TENTH], 10 * proposals[TENTH], 10 * proposals[STEEPEST])}
    well, *others = accuracies.values()
    assert well > 0.85, accuracies
    assert max(others) < 0.7, accuracies


@pytest.mark.slow
def test_the_same_search_finds_the_same_in_the_same_folder(find, project):
    _, table = find("finder.steps=30")
    _, again = find("finder.steps=30")
    assert table.equals(again)
    assert len(list((project / "rates").iterdir())) == 1


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_search_and_not_the_command(find):
    wild = ("optimizer=sgd", "finder.last=1e30", "finder.limit=1e300", "divergence=roll_back")
    proposals, table = find(*wild)
    assert len(table) < 100
    assert "where the loss was " in proposals["the search ended"]
    assert STEEPEST in proposals


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("data.batch_size=100", "trainer.accumulate_grad_batches=2", "scheduler=one_cycle", "callbacks=early_stopping"),
        ("optimizer=rmsprop", "scheduler=plateau", "averaging=ema", "augmentation=mixup", "divergence=skip"),
        ("model=autoencoder", "task=reconstruction"),
    ],
)
def test_what_else_a_training_has_is_no_hindrance(find, settings):
    """A search of several epochs: what a training does at the end of an epoch does not affect it."""
    _, table = find(*settings, "data.batch_size=100", "finder.steps=30", "finder.last=1e-2")
    assert len(table) == 30
    assert table["rate"].iloc[-1] == pytest.approx(1e-2)


@pytest.mark.slow
def test_what_an_optimizer_step_does_belongs_to_the_search(find):
    """With the first layer frozen, and with a heavy penalty, the same batches lose otherwise."""
    losses = {}
    for callbacks in ("default", "freeze", "l1"):
        settings = {"freeze": ['callbacks.freeze.parts=["layers.1"]'], "l1": ["callbacks.l1.weight=0.1"]}.get(callbacks, [])
        _, table = find(f"callbacks={callbacks}", *settings, "finder.steps=20", "finder.last=1e-1")
        losses[callbacks] = table["loss"].round(6).tolist()
    assert losses["default"][0] == losses["freeze"][0] == losses["l1"][0]
    assert losses["default"][-1] not in (losses["freeze"][-1], losses["l1"][-1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+experiment=random_forest"], r"optimizer with a learning rate \(optimizer.lr\); random_forest has none"),
        (["+experiment=dcgan", "data=digits"], "expected a task whose loss falls while it learns"),
        (["trainer=ddp", "trainer.devices=2"], "expected trainer=default, which is one process"),
        (["cluster=slurm"], "expected cluster=none"),
        (["finder.steps=5"], "finder.steps: expected 13 or more with smoothing=0.9; received 5"),
        (["finder.stepps=5"], "finder.stepps: there is no such option; nearest: finder.steps"),
        (["finder.steps=many"], "finder.steps: expected a number"),
    ],
)
def test_what_has_no_rate_to_be_found_is_refused(digits, project, overrides, message):
    with pytest.raises(InputError, match=message):
        find_lr.find(command_line.configure([f"paths.prepared={digits[1].folder.parent}", *overrides, find_lr.GROUP]))
    assert not list(project.iterdir())


@pytest.mark.slow
def test_its_keys_are_shown_with_the_others(project):
    for flags in (["+experiment=cnn", "--cfg", "job"], ["--cfg", "job", "finder.steps=100"], ["--cfg", "job"]):
        printed = run(project, "python", "-m", "src.find_lr", *flags, PYTHONPATH=str(ROOT)).stdout
        assert "\nfinder:\n  steps: 100\n" in printed


@pytest.mark.slow
def test_a_run_to_be_trained_further_is_refused(project):
    (project / "runs/cnn-1").mkdir(parents=True)
    keys = dict.fromkeys(CONFIG_KEYS, "{}") | {"name": "cnn", "seed": "0", "resume": "null"}
    (project / "runs/cnn-1/config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    printed = run(project, "python", "-m", "src.find_lr", "resume=runs/cnn-1", code=2, PYTHONPATH=str(ROOT)).stderr
    assert "error: find_lr: expected a training from the start; received resume=... Leave it out." in printed
