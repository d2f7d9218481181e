"""Searches in the process of the tests: what they choose, what they return, and what they refuse."""

import itertools
import json
import re
import time

import psutil
import pytest
import yaml
from optuna.trial import TrialState

from pipelines.sweep.__main__ import sweep
from src.errors import InputError, RunFailed
from src.runs.folder import Run
from tests import chaos
from tests.pipelines.sweep import records, study
from tests.repository import ROOT, run, start
from tests.tagging import write_configuration

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
HERE = ("trainer.progress_bar=false", "tracking.uri=http://127.0.0.1:9")  # no store, so no uploads


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork server of multiprocessing, which the first search starts, finds its modules only by the environment."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def search(*settings: str, space: str = "fnn") -> None:
    sweep(["+experiment=fnn", f"+sweep={space}", *HERE, *settings])


def test_an_architecture_is_searched_with_its_own_parameters(project):
    search("sweep.n_trials=6", "trainer.max_epochs=1", "sweep.keep=0", "sweep/sampler=random", space="architecture")
    trials = study(project).trials
    assert len({trial.params["model"] for trial in trials}) > 1
    for trial in trials:
        folder = project / f"runs/sweeps/fnn/trial-{trial.number:04d}"
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["model"]["_target_"].endswith({"fnn": "FNN", "cnn": "CNN"}[trial.params["model"]])
        assert ("model=cnn/model.width" in trial.params) == (trial.params["model"] == "cnn")
        if trial.params["model"] == "cnn":
            assert config["model"]["width"] == int(trial.params["model=cnn/model.width"])


def test_a_modality_that_src_does_not_know_is_searched_also_when_all_processes_are_killed(project):
    write_configuration(project / "own")
    (project / "own/sweep").mkdir()
    space = "space: {optimizer.lr: 'interval(5e-3, 3e-2)', model.width: 'choice(8, 16)'}\n"
    (project / "own/sweep/tags.yaml").write_text(f"defaults: [default]\n{space}")
    settings = ("sweep.n_trials=3", "sweep.workers=1", "trainer.max_epochs=2", "sweep/pruner=none", *HERE)
    command = ("python", "-m", "pipelines.sweep", "--config-dir", "own", "+experiment=tags", "+sweep=tags", *settings)
    first, second = (project / f"runs/sweeps/tags/trial-000{number}" for number in range(2))
    process = start(project, *command, PYTHONPATH=str(ROOT))
    while not (second / "metrics.jsonl").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    chaos.kill_tree(psutil.Process(process.pid))
    process.communicate()
    assert not (second / "metrics.json").is_file()
    before = (first / "metrics.jsonl").read_bytes()
    run(project, *command, PYTHONPATH=str(ROOT))
    trials = study(project, "tags").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert (first / "metrics.jsonl").read_bytes() == before, "it is not trained again"
    (best,) = (project / "runs").glob("tags-*")
    metrics = json.loads((best / "metrics.json").read_text())
    assert metrics["val/accuracy"] == pytest.approx(max(trial.value for trial in trials))
    assert metrics["test/accuracy"] > 0.5, "a third is chance"


def test_several_objectives_are_optimized_together(project, capsys):
    both = "sweep.objectives=[{metric: val/accuracy, mode: max}, {metric: parameters, mode: min}]"
    search("sweep.n_trials=6", "trainer.max_epochs=1", "sweep/sampler=random", "sweep.keep=0", both)
    printed = capsys.readouterr()
    assert "so no trial is pruned" in printed.err
    finished = study(project)
    assert [trial.state for trial in finished.trials] == [TrialState.COMPLETE] * 6
    for trial in finished.trials:
        folder = project / f"runs/sweeps/fnn/trial-{trial.number:04d}"
        accuracy, parameters = trial.values
        points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert accuracy == max(point["value"] for point in points if point["name"] == "val/accuracy")
        sizes = [64, *json.loads(trial.params["model.hidden"]), 10]
        assert parameters == sum((one + 1) * other for one, other in itertools.pairwise(sizes))
    front = {trial.number for trial in finished.best_trials}
    assert {int(number) for number in re.findall(r"^  trial (\d+) ", printed.out, re.MULTILINE)} == front
    tuned = yaml.safe_load((project / "tuned/fnn.yaml").read_text())
    assert tuned["val/accuracy"] == max(trial.values[0] for trial in finished.trials)
    assert tuned["trial"] in front
    pictures = {path.name for path in (project / "runs/sweeps/fnn/figures").glob("*.png")}
    assert {"front.png", "history-val-accuracy.png", "history-parameters.png"} <= pictures


def test_a_trials_value_is_the_mean_over_seeds_and_the_best_is_confirmed_on_fresh_ones(project, capsys):
    settings = ("sweep.n_trials=3", "trainer.max_epochs=2", "sweep.seeds=2", "sweep/pruner=none", "seed=5")
    search(*settings)
    folder = project / "runs/sweeps/fnn"
    for trial in study(project).trials:
        values = []
        for name in (f"trial-{trial.number:04d}", f"trial-{trial.number:04d}-seed-6"):
            assert yaml.safe_load((folder / name / "config.yaml").read_text())["seed"] == (6 if name.endswith("-6") else 5)
            points = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
            values.append([point["value"] for point in points if point["name"] == "val/accuracy"])
        first, second = values
        assert trial.value == pytest.approx((max(first) + max(second)) / 2)
        expected = [*first, *((max(first) + value) / 2 for value in second)]
        assert list(trial.intermediate_values.values()) == pytest.approx(expected)
        assert list(trial.intermediate_values) == [1, 2, 3, 4]
    best = study(project).best_trial
    (number, confirmed), *others = json.loads((folder / "confirm/confirmed.json").read_text()).items()
    assert int(number) == best.number
    assert not others
    assert confirmed["seeds"] == [7, 8]
    assert confirmed["mean"] == pytest.approx(sum(confirmed["by_seed"]) / 2)
    assert f"trial {number} with 2 fresh seeds: val/accuracy {confirmed['mean']:.4f}" in capsys.readouterr().out
    tuned = (project / "tuned/fnn.yaml").read_text()
    assert yaml.safe_load(tuned)["confirmed"]["mean"] == confirmed["mean"]
    before = {path: path.read_text() for path in folder.glob("trial-*/log.txt")}
    (project / "tuned/fnn.yaml").unlink()
    with Run(folder / "confirm").lock():  # while another worker confirms, that worker names the best trial
        search(*settings)
    assert not (project / "tuned/fnn.yaml").exists()
    search(*settings)
    assert (project / "tuned/fnn.yaml").read_text() == tuned
    assert {path: path.read_text() for path in folder.glob("trial-*/log.txt")} == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["+sweep.space={optimizer.lrr: 'interval(0.1, 1)'}"], "optimizer.lrr: there is no such option; nearest: optimizer.lr"),
        (["+sweep.space={model: 'choice(cnn, cnnn)'}"], "model=cnnn: there is no such option; nearest: cnn"),
        (["sweep.enqueue=[{optimizer.lr: 7}]"], "expected values of the space; optimizer.lr=7 lies outside it"),
        (["sweep.storage=mysql://x"], "expected null, for a journal"),
        (["sweep.storage=postgresql+psycopg://nobody@127.0.0.1:9/none"], "cannot be used"),
        (["objective.metric=val/acuracy"], "objective.metric=val/acuracy: expected a metric that the task logs"),
        (
            ["sweep.objectives=[{metric: val/acuracy, mode: max}]"],
            "expected a metric that the task logs (val/accuracy, val/loss) or",
        ),
        (["sweep.seeds=0"], "sweep.seeds: expected a whole number from 1; received 0"),
        (["sweep.workers=0"], "sweep.workers: expected a whole number from 1, or null; received 0"),
        (["sweep/sampler=grid"], "optimizer.lr: expected choice or range for a grid; received an interval"),
        (["sweep/sampler=tpee"], "sweep/sampler=tpee: there is no such option"),
        (["sweep/sampler=cmaes"], "expected the package cmaes, which is not installed: pip install cmaes"),
    ],
)
def test_bad_input_is_refused_before_a_trial(project, settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        search(*settings, "trainer.max_epochs=1")
    assert not list(project.glob("runs/sweeps/*/trial-*"))


def test_a_dry_run_prints_what_trials_take_and_searches_nothing(project, capsys):
    search("sweep.dry_run=true")
    assert "parameters" in capsys.readouterr().out
    assert not list(project.glob("runs/sweeps/*/trial-*"))
    assert not list(project.glob("tuned/*"))
    assert not (project / "runs/sweeps/fnn").exists()  # a search with another space may have this name


def test_a_study_with_other_content_is_refused_and_can_be_continued_all_the_same(project):
    one = ("sweep.n_trials=1", "trainer.max_epochs=1", "sweep.keep=0")
    search(*one)
    with pytest.raises(InputError, match=r"space differs.*sweep\.study=.*sweep\.adapt=true"):
        search(*one, "+sweep.space={model.dropout: 'interval(0.1, 0.2)'}")
    with pytest.raises(InputError, match="configuration differs"):
        search(*one, "trainer.max_epochs=2")
    search(*one, "sweep.n_trials=2", "trainer.max_epochs=2", "sweep.adapt=true")
    assert len(study(project).trials) == 2


def test_values_that_give_no_number_are_infeasible_and_the_search_goes_on(project):
    settings = ["sweep.n_trials=4", "trainer.max_epochs=2", "optimizer=sgd", "sweep.keep=0", "optimizer.lr=1e4"]
    search(*settings, "+sweep.space={optimizer.lr: 'choice(1e4, 0.05)'}", "sweep/sampler=random", space="default")
    trials = study(project).trials
    assert len(trials) == 4
    bad = [trial for trial in trials if "reason" in trial.user_attrs]
    assert bad[0].number == 0  # the experiment's own
    assert all(trial.params["optimizer.lr"] == "10000.0" for trial in bad)
    for trial in bad:
        assert trial.state == TrialState.PRUNED
        assert "loss is" in trial.user_attrs["reason"]
        assert records(project)[f"trial-{trial.number:04d}"]["status"] == "FAILED"
        assert not list((project / f"runs/sweeps/fnn/trial-{trial.number:04d}").glob("*.ckpt*"))
    assert {trial.state for trial in trials if trial not in bad} <= {TrialState.COMPLETE, TrialState.PRUNED}


FRAIL = """
from pathlib import Path

import torch
from torch import nn


class Frail(nn.Module):
    def __init__(self, *, width, num_outputs):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_outputs))

    def forward(self, x):
        fault = Path("fault").read_text() if self.training and Path("fault").exists() else ""
        if fault == "bug":
            raise RuntimeError("a wire is loose")
        if fault == "memory":
            torch.empty(10**15)
        return self.net(x)
"""


def test_a_bug_ends_a_search_that_only_fails_and_a_lack_of_memory_does_not(project, monkeypatch):
    (project / "frail.py").write_text(FRAIL)
    monkeypatch.syspath_prepend(project)
    (project / "own/model").mkdir(parents=True)
    node = {"_target_": "frail.Frail", "width": 8, "num_outputs": "${data.num_classes}"}
    (project / "own/model/frail.yaml").write_text(yaml.safe_dump(node))
    common = ("--config-dir=own", "model=frail", "trainer.max_epochs=1", "sweep.keep=0", "sweep/sampler=random")
    space = "+sweep.space={model.width: 'range(4, 9)'}"

    search(*common, space, "sweep.n_trials=1", space="default")
    (project / "fault").write_text("bug")
    with pytest.raises(RunFailed, match=r"2 trials failed \(sweep\.max_failures=2\); the last: RuntimeError: a wire is loose"):
        search(*common, space, "sweep.n_trials=3", "sweep.max_failures=2", space="default")
    assert [trial.state for trial in study(project).trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert [record["status"] for record in records(project).values()] == ["FINISHED", "FAILED", "FAILED"]
    (project / "fault").write_text("memory")
    search(*common, space, "sweep.n_trials=3", "sweep.max_failures=3", space="default")
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL, TrialState.PRUNED, TrialState.PRUNED]
    trials = study(project).trials
    assert [trial.state for trial in trials] == states
    for trial in trials[3:]:
        assert "out of memory" in trial.user_attrs["reason"]
        assert trial.constraints == {"feasible": 1.0}  # samplers keep away from it


@pytest.mark.parametrize("content", ["hello there", '{"a": 1}'])
def test_a_file_that_is_no_journal_is_refused_and_kept(project, content):
    path = project / "runs/sweeps/fnn/study.journal"
    path.parent.mkdir(parents=True)
    path.write_text(f"{content}\n")
    with pytest.raises(InputError, match="expected the journal of an Optuna study"):
        search()
    assert path.read_text() == f"{content}\n"
