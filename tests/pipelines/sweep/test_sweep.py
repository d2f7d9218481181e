"""Searches by the real command: what they leave, how they end, and what they refuse."""

import itertools
import json
import re
import signal
import subprocess
from urllib.request import urlopen

import psutil
import pytest
import yaml
from optuna.trial import TrialState

from src.runs.folder import Run
from tests.pipelines.sweep import FNN, epochs, kill, records, start, study, sweep, until
from tests.records import whole_store
from tests.repository import ROOT, environment, run
from tests.servers import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
OWN = {"optimizer.lr": 0.001, "model.hidden": "[128]", "model.dropout": 0.0}  # of conf/experiment/fnn.yaml: it comes first
SMALL = ("sweep.n_trials=6", "trainer.max_epochs=3", "sweep.workers=2")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """One search with everything at its default, and what it printed."""
    folder = tmp_path_factory.mktemp("search")
    return folder, sweep(folder, *SMALL, "tracking.wait=60")


def test_a_search_ends_with_exactly_its_budget(searched):
    folder, done = searched
    trials = study(folder).trials
    assert [trial.number for trial in trials] == list(range(6))
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    assert f"6 of 6 done ({sum(t.state == TrialState.PRUNED for t in trials)} pruned), 0 running, 0 failed" in done.stderr
    assert done.stdout.count("MiB") >= 2  # the extremes of the space, tried before
    assert trials[0].params == OWN
    assert not list((folder / "runs/sweeps/fnn").glob("check-*"))


def test_a_trials_value_is_that_of_its_best_checkpoint(searched):
    folder, _ = searched
    for trial in study(folder).trials:
        if trial.state == TrialState.COMPLETE:
            assert trial.value == pytest.approx(max(trial.intermediate_values.values()))
            assert list(trial.intermediate_values) == [1, 2, 3]
        assert epochs(folder)[trial.number] == sorted(trial.intermediate_values)


def test_the_best_point_is_a_run_and_a_small_file(searched):
    folder, _ = searched
    best = study(folder).best_trial
    tuned = yaml.safe_load((folder / "tuned/fnn.yaml").read_text())
    assert tuned["trial"] == best.number
    assert tuned["val/accuracy"] == best.value
    (made,) = (path for path in (folder / "runs").glob("fnn-*") if (path / "predictions.parquet").is_file())
    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["val/accuracy"] == pytest.approx(best.value)
    config = yaml.safe_load((made / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == tuned["overrides"]["optimizer.lr"]
    assert "sweep" not in config


def test_tuned_trains_with_the_best_point(searched, tmp_path):
    folder, _ = searched
    train = ("python", "-m", "src.train", "+experiment=fnn", "trainer.max_epochs=3")
    assert "This run exists" in run(folder, *train, "tuned=true", PYTHONPATH=str(ROOT)).stdout
    other = run(folder, *train, "tuned=true", "optimizer.lr=0.02", "tracking.wait=0", PYTHONPATH=str(ROOT)).stdout
    config = yaml.safe_load((folder / other.split("run: ")[-1].strip() / "config.yaml").read_text())
    tuned = yaml.safe_load((folder / "tuned/fnn.yaml").read_text())["overrides"]
    assert config["optimizer"]["lr"] == 0.02  # what the command line states stays
    assert config["model"]["hidden"] == tuned["model.hidden"]
    message = run(tmp_path, *train, "tuned=true", code=2, PYTHONPATH=str(ROOT)).stderr
    assert "expected tuned/fnn.yaml; there is none. `python -m pipelines.sweep +experiment=fnn" in message


def test_an_architecture_is_searched_with_its_own_parameters(tmp_path):
    sweep(tmp_path, "sweep.n_trials=6", "trainer.max_epochs=1", "sweep.keep=0", "sweep/sampler=random", space="architecture")
    trials = study(tmp_path).trials
    assert len({trial.params["model"] for trial in trials}) > 1
    for trial in trials:
        folder = tmp_path / f"runs/sweeps/fnn/trial-{trial.number:04d}"
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["model"]["_target_"].endswith({"fnn": "FNN", "cnn": "CNN"}[trial.params["model"]])
        assert ("model=cnn/model.width" in trial.params) == (trial.params["model"] == "cnn")
        if trial.params["model"] == "cnn":
            assert config["model"]["width"] == int(trial.params["model=cnn/model.width"])


def test_two_objectives_are_weighed_against_each_other(tmp_path):
    both = "sweep.objectives=[{metric: val/accuracy, mode: max}, {metric: parameters, mode: min}]"
    done = sweep(tmp_path, "sweep.n_trials=6", "trainer.max_epochs=1", "sweep/sampler=random", both, "tracking.wait=0")
    assert "so no trial is pruned" in done.stderr
    found = study(tmp_path)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 6
    for trial in found.trials:
        folder = tmp_path / f"runs/sweeps/fnn/trial-{trial.number:04d}"
        accuracy, parameters = trial.values
        told = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert accuracy == max(point["value"] for point in told if point["name"] == "val/accuracy")
        sizes = [64, *json.loads(trial.params["model.hidden"]), 10]
        assert parameters == sum((one + 1) * other for one, other in itertools.pairwise(sizes))
    front = {trial.number for trial in found.best_trials}
    assert {int(number) for number in re.findall(r"^  trial (\d+) ", done.stdout, re.M)} == front
    tuned = yaml.safe_load((tmp_path / "tuned/fnn.yaml").read_text())
    assert tuned["val/accuracy"] == max(trial.values[0] for trial in found.trials)
    assert tuned["trial"] in front
    pictures = {path.name for path in (tmp_path / "runs/sweeps/fnn/figures").glob("*.png")}
    assert {"front.png", "history-val-accuracy.png", "history-parameters.png"} <= pictures


def test_points_are_judged_by_their_mean_over_seeds_and_confirmed_on_fresh_ones(tmp_path):
    settings = ("sweep.n_trials=3", "trainer.max_epochs=2", "sweep.seeds=2", "sweep/pruner=none", "tracking.wait=0", "seed=5")
    done = sweep(tmp_path, *settings)
    folder = tmp_path / "runs/sweeps/fnn"
    for trial in study(tmp_path).trials:
        values = []
        for name in (f"trial-{trial.number:04d}", f"trial-{trial.number:04d}-seed-6"):
            assert yaml.safe_load((folder / name / "config.yaml").read_text())["seed"] == (6 if name.endswith("-6") else 5)
            told = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
            values.append([point["value"] for point in told if point["name"] == "val/accuracy"])
        first, second = values
        assert trial.value == pytest.approx((max(first) + max(second)) / 2)
        expected = [*first, *((max(first) + value) / 2 for value in second)]
        assert list(trial.intermediate_values.values()) == pytest.approx(expected)
        assert list(trial.intermediate_values) == [1, 2, 3, 4]
    best = study(tmp_path).best_trial
    (number, confirmed), *others = json.loads((folder / "confirm/confirmed.json").read_text()).items()
    assert int(number) == best.number
    assert not others
    assert confirmed["seeds"] == [7, 8]
    assert confirmed["mean"] == pytest.approx(sum(confirmed["by_seed"]) / 2)
    assert f"trial {number} with 2 fresh seeds: val/accuracy {confirmed['mean']:.4f}" in done.stdout
    assert yaml.safe_load((tmp_path / "tuned/fnn.yaml").read_text())["confirmed"]["mean"] == confirmed["mean"]
    before = {path: path.read_text() for path in folder.glob("trial-*/log.txt")}
    sweep(tmp_path, *settings)  # finds nothing to do
    assert {path: path.read_text() for path in folder.glob("trial-*/log.txt")} == before
    (tmp_path / "tuned/fnn.yaml").unlink()
    with Run(folder / "confirm").lock():  # as long as another worker confirms, the best point is its to name
        assert "another worker trains the best points with fresh seeds" in sweep(tmp_path, *settings).stdout
    assert not (tmp_path / "tuned/fnn.yaml").exists()
    sweep(tmp_path, *settings)
    assert yaml.safe_load((tmp_path / "tuned/fnn.yaml").read_text())["confirmed"]["mean"] == confirmed["mean"]


def test_trials_of_two_processes_have_equal_parameters_and_are_pruned_as_a_whole(tmp_path):
    ddp = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "+callbacks.weights._target_=tests.ranks.Weights")
    sweep(tmp_path, *ddp, "sweep.n_trials=5", "trainer.max_epochs=3", "sweep.keep=0", "tracking.wait=0")
    trials = study(tmp_path).trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        folder = tmp_path / f"runs/sweeps/fnn/trial-{trial.number:04d}"
        weights = [(folder / f"weights-{rank}.txt") for rank in range(2)]
        if trial.state == TrialState.COMPLETE:
            assert weights[0].read_text() == weights[1].read_text()
        else:
            assert not any(path.exists() for path in weights)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["optimizer"]["lr"] == trial.params["optimizer.lr"]
    here = [process for process in psutil.process_iter(["cwd", "cmdline"]) if process.info["cwd"] == str(tmp_path)]
    assert not [process for process in here if "src.launch.worker" in (process.info["cmdline"] or [])]


def test_weights_are_kept_of_the_best_alone(searched):
    folder, _ = searched
    kept = {path.parent.name for path in (folder / "runs/sweeps/fnn").glob("trial-*/*.ckpt")}
    assert kept == {f"trial-{study(folder).best_trial.number:04d}"}


def test_the_record_is_a_tree(searched):
    folder, _ = searched
    client = whole_store(folder)
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    (parent,) = (one for one in found if one.info.run_name == "fnn")
    children = {one.info.run_name: one for one in found if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    trials = {f"trial-{trial.number:04d}": trial for trial in study(folder).trials}
    assert children.keys() == trials.keys()
    for name, child in children.items():
        assert child.info.status == "FINISHED"
        assert child.data.tags["trial.state"] == trials[name].state.name
        assert float(child.data.params["optimizer.lr"]) == trials[name].params["optimizer.lr"]
        assert child.data.metrics["val/accuracy"] == pytest.approx(list(trials[name].intermediate_values.values())[-1])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best/val/accuracy"] == pytest.approx(study(folder).best_value)
    pictures = {path.name for path in (folder / "runs/sweeps/fnn/figures").glob("*.png")}
    assert {"history.png", "timeline.png"} <= pictures
    assert {path.path for path in client.list_artifacts(parent.info.run_id, "figures")} == {f"figures/{n}" for n in pictures}


def test_optuna_dashboard_opens_the_journal(searched):
    folder, _ = searched
    port = free_port()
    command = ["optuna-dashboard", str(folder / "runs/sweeps/fnn/study.journal"), "--port", str(port)]
    server = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/dashboard"))
        with urlopen(f"http://127.0.0.1:{port}/api/studies") as answer:
            (found,) = json.load(answer)["study_summaries"]
        assert found["study_name"] == "fnn"
        with urlopen(f"http://127.0.0.1:{port}/api/studies/{found['study_id']}?after=0") as answer:
            assert len(json.load(answer)["trials"]) == len(study(folder).trials)
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_the_same_command_again_finds_nothing_to_do(searched):
    folder, _ = searched
    before = epochs(folder)
    sweep(folder, *SMALL)
    assert epochs(folder) == before


def test_a_larger_budget_goes_on(searched):
    folder, _ = searched
    sweep(folder, *SMALL, "sweep.n_trials=8")
    assert len(study(folder).trials) == 8


def test_another_space_is_refused_with_the_ways_out(searched):
    folder, _ = searched
    message = sweep(folder, *SMALL, "+sweep.space={model.dropout: 'interval(0.1, 0.2)'}", code=2).stderr
    assert "space differs" in message
    assert "sweep.study=" in message
    assert "sweep.adapt=true" in message
    message = sweep(folder, "sweep.n_trials=6", "trainer.max_epochs=4", code=2).stderr
    assert "configuration differs" in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["+sweep.space={optimizer.lrr: 'interval(0.1, 1)'}"], "optimizer.lrr: there is no such option; nearest: optimizer.lr"),
        (["+sweep.space={model: 'choice(cnn, cnnn)'}"], "model=cnnn: there is none; nearest: cnn"),
        (["sweep.enqueue=[{optimizer.lr: 7}]"], "expected points of the space; optimizer.lr=7 lies outside it"),
        (["sweep.storage=mysql://x"], "expected null, for a journal"),
        (["sweep.storage=postgresql+psycopg://nobody@127.0.0.1:9/none"], "cannot be used"),
        (["objective.metric=val/acuracy"], "val/acuracy: the task never logs it"),
        (
            ["sweep.objectives=[{metric: val/acuracy, mode: max}]"],
            "expected a metric that the task logs (val/accuracy, val/loss) or",
        ),
        (["sweep.seeds=0"], "sweep.seeds: expected a number of at least 1; received 0"),
        (["sweep.workers=0"], "sweep.workers: expected a number of at least 1; received 0"),
        (["sweep/sampler=grid"], "optimizer.lr: expected choice or range for a grid; received an interval"),
        (["sweep/sampler=tpee"], "sweep/sampler=tpee: there is no such option"),
        (["sweep/sampler=cmaes"], "expected the package cmaes, which is not installed: pip install cmaes"),
        (["--resume"], "expected overrides key=value; received --resume"),
    ],
)
def test_bad_input_is_refused_before_a_trial(tmp_path, settings, message):
    done = sweep(tmp_path, *settings, "trainer.max_epochs=1", code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/sweeps/*/trial-*"))


def test_a_dry_run_tells_what_trials_take_and_searches_nothing(tmp_path):
    done = sweep(tmp_path, "sweep.dry_run=true")
    assert "parameters" in done.stdout
    assert not list(tmp_path.glob("runs/sweeps/*/trial-*"))
    assert not list(tmp_path.glob("tuned/*"))


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "interrupted; the same command continues."),
        (signal.SIGTERM, 75, "preempted by SIGTERM; the same command continues."),
    ],
)
def test_a_search_that_is_interrupted_goes_on_where_it_was(tmp_path, number, code, message):
    settings = ("sweep.n_trials=3", "trainer.max_epochs=60", "sweep/pruner=none")
    process = start(tmp_path, *settings)
    until(lambda: any(len(done) > 5 for done in epochs(tmp_path).values()))
    process.send_signal(number)
    _, error = process.communicate(timeout=240)
    assert process.returncode == code, error
    assert message in error
    assert "Traceback" not in error
    (begun,) = epochs(tmp_path)
    assert study(tmp_path).trials[begun].state == TrialState.RUNNING
    sweep(tmp_path, *settings)
    trials = study(tmp_path).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    for trained in epochs(tmp_path).values():
        assert set(trained) == set(range(1, 61))
        assert len(trained) <= 61  # at most the epoch in which it was stopped comes twice


def test_a_point_that_gives_no_number_is_told_apart_and_the_search_goes_on(tmp_path):
    settings = ["sweep.n_trials=4", "trainer.max_epochs=2", "optimizer=sgd", "sweep.keep=0", "optimizer.lr=1e4"]
    sweep(tmp_path, *settings, "+sweep.space={optimizer.lr: 'choice(1e4, 0.05)'}", "sweep/sampler=random", space="default")
    trials = study(tmp_path).trials
    assert len(trials) == 4
    bad = [trial for trial in trials if "reason" in trial.user_attrs]
    assert bad[0].number == 0  # the experiment's own
    assert all(trial.params["optimizer.lr"] == "10000.0" for trial in bad)
    for trial in bad:
        assert trial.state == TrialState.PRUNED
        assert "loss is" in trial.user_attrs["reason"]
        assert records(tmp_path)[f"trial-{trial.number:04d}"]["status"] == "FAILED"
        assert not list((tmp_path / f"runs/sweeps/fnn/trial-{trial.number:04d}").glob("*.ckpt*"))
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


def test_a_bug_ends_a_search_that_only_fails_and_a_lack_of_memory_does_not(tmp_path):
    (tmp_path / "frail.py").write_text(FRAIL)
    (tmp_path / "own/model").mkdir(parents=True)
    node = {"_target_": "frail.Frail", "width": 8, "num_outputs": "${data.num_classes}"}
    (tmp_path / "own/model/frail.yaml").write_text(yaml.safe_dump(node))
    command = [*FNN, "--config-dir=own", "+sweep=default", "model=frail", "trainer.max_epochs=1", "sweep.keep=0"]
    command += ["+sweep.space={model.width: 'range(4, 9)'}", "sweep/sampler=random", "tracking.wait=0"]

    def search(*settings, code=0):
        return run(tmp_path, *command, *settings, code=code, PYTHONPATH=f"{ROOT}:{tmp_path}")

    search("sweep.n_trials=1")
    (tmp_path / "fault").write_text("bug")
    done = search("sweep.n_trials=3", "sweep.max_failures=2", code=1)
    assert "2 trials failed (sweep.max_failures=2); the last: RuntimeError: a wire is loose" in done.stderr
    assert [trial.state for trial in study(tmp_path).trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert [record["status"] for record in records(tmp_path).values()] == ["FINISHED", "FAILED", "FAILED"]
    (tmp_path / "fault").write_text("memory")
    search("sweep.n_trials=3", "sweep.max_failures=3")
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL, TrialState.PRUNED, TrialState.PRUNED]
    trials = study(tmp_path).trials
    assert [trial.state for trial in trials] == states
    for trial in trials[3:]:
        assert "out of memory" in trial.user_attrs["reason"]
        assert trial.constraints == {"feasible": 1.0}  # samplers keep away from it


@pytest.mark.parametrize("content", ["hello there", '{"a": 1}'])
def test_a_journal_that_is_none_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "runs/sweeps/fnn/study.journal"
    path.parent.mkdir(parents=True)
    path.write_text(f"{content}\n")
    assert "expected the journal of an Optuna study" in sweep(tmp_path, code=2).stderr
    assert path.read_text() == f"{content}\n"


def test_killed_trials_go_on_under_their_numbers(tmp_path):
    settings = ("sweep.n_trials=2", "trainer.max_epochs=80")
    process = start(tmp_path, *settings)
    until(lambda: any(len(done) > 5 for done in epochs(tmp_path).values()))
    kill(process)
    sweep(tmp_path, *settings)
    trials = study(tmp_path).trials
    assert len(trials) == 2
    assert all(record["status"] == "FINISHED" for record in records(tmp_path).values())
    for trained in epochs(tmp_path).values():
        assert len(trained) - len(set(trained)) <= 1
