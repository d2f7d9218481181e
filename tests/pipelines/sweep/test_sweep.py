"""Searches by the real command: what they leave, how they end, and how they continue."""

import json
import signal
import subprocess
from urllib.request import urlopen

import psutil
import pytest
import yaml
from optuna.trial import TrialState

from tests.pipelines.sweep import epochs, kill, records, start, study, sweep, until
from tests.records import whole_store
from tests.repository import ROOT, environment, run
from tests.servers import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
OWN = {"optimizer.lr": 0.001, "model.hidden": "[128]", "model.dropout": 0.0}  # of conf/experiment/fnn.yaml: it comes first
SMALL = ("sweep.n_trials=6", "trainer.max_epochs=3", "sweep.workers=2")


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The folder of a search with default settings, and the finished command."""
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


def test_the_best_trial_is_a_run_and_a_small_file(searched):
    folder, _ = searched
    best = study(folder).best_trial
    tuned = yaml.safe_load((folder / "tuned/fnn.yaml").read_text())
    assert tuned["trial"] == best.number
    assert tuned["val/accuracy"] == best.value
    (best_run,) = (path for path in (folder / "runs").glob("fnn-*") if (path / "predictions.parquet").is_file())
    metrics = json.loads((best_run / "metrics.json").read_text())
    assert metrics["val/accuracy"] == pytest.approx(best.value)
    config = yaml.safe_load((best_run / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == tuned["overrides"]["optimizer.lr"]
    assert "sweep" not in config


def test_tuned_trains_with_the_values_of_the_best_trial(searched, tmp_path):
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


def test_only_the_best_checkpoints_are_kept(searched):
    folder, _ = searched
    kept = {path.parent.name for path in (folder / "runs/sweeps/fnn").glob("trial-*/*.ckpt")}
    assert kept == {f"trial-{study(folder).best_trial.number:04d}"}


def test_the_record_is_a_tree(searched):
    folder, _ = searched
    client = whole_store(folder)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    (parent,) = (one for one in runs if one.info.run_name == "fnn")
    children = {one.info.run_name: one for one in runs if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    trials = {f"trial-{trial.number:04d}": trial for trial in study(folder).trials}
    assert children.keys() == trials.keys()
    for name, child in children.items():
        assert child.info.status == "FINISHED"
        assert child.data.tags["trial.state"] == trials[name].state.name
        assert float(child.data.params["optimizer.lr"]) == trials[name].params["optimizer.lr"]
        assert child.data.metrics["val/accuracy"] == pytest.approx(list(trials[name].intermediate_values.values())[-1])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["values/best/val/accuracy"] == pytest.approx(study(folder).best_value)
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
        with urlopen(f"http://127.0.0.1:{port}/api/studies") as response:
            (summary,) = json.load(response)["study_summaries"]
        assert summary["study_name"] == "fnn"
        with urlopen(f"http://127.0.0.1:{port}/api/studies/{summary['study_id']}?after=0") as response:
            assert len(json.load(response)["trials"]) == len(study(folder).trials)
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def test_a_larger_budget_goes_on_and_then_nothing_is_left_to_do(searched):
    folder, _ = searched
    larger = (*SMALL, "sweep.n_trials=8", "tracking.wait=0")
    before = epochs(folder)
    sweep(folder, *larger)
    after = epochs(folder)
    assert after.keys() == set(range(8))
    assert before.items() <= after.items()
    sweep(folder, *larger)
    assert epochs(folder) == after


def test_an_input_error_is_a_message_and_exit_code_2(tmp_path):
    for setting in ("sweep.seeds=0", "--resume"):
        done = sweep(tmp_path, setting, code=2)
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_search_that_is_interrupted_or_killed_continues_where_it_was(tmp_path):
    settings = ("sweep.n_trials=2", "trainer.max_epochs=60", "sweep/pruner=none", "sweep.keep=0", "tracking.wait=0")
    stops = {
        signal.SIGINT: (130, "interrupted; the same command continues."),
        signal.SIGTERM: (75, "preempted by SIGTERM; the same command continues."),
    }

    def trained() -> int:
        return sum(map(len, epochs(tmp_path).values()))

    for number, (code, message) in stops.items():
        before, process = trained(), start(tmp_path, *settings)
        until(lambda: trained() > before + 5)  # noqa: B023 - it is called here
        process.send_signal(number)
        _, error = process.communicate(timeout=240)
        assert process.returncode == code, error
        assert message in error
        assert "Traceback" not in error
        assert study(tmp_path).trials[0].state == TrialState.RUNNING
    before, process = trained(), start(tmp_path, *settings)
    until(lambda: trained() > before + 5)
    kill(process)
    sweep(tmp_path, *settings)
    assert [trial.state for trial in study(tmp_path).trials] == [TrialState.COMPLETE] * 2
    assert {record["status"] for record in records(tmp_path).values()} == {"FINISHED"}
    for trial in epochs(tmp_path).values():
        assert set(trial) == set(range(1, 61))
    assert trained() <= 2 * 60 + 3  # at most the epoch in which it was stopped comes twice


def test_trials_of_two_processes_have_equal_parameters_and_are_pruned_as_a_whole(tmp_path):
    ddp = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "+callbacks.weights._target_=tests.ranks.Weights")
    few = ("sweep.n_trials=2", "trainer.max_epochs=3", "sweep.keep=0", "tracking.wait=0")
    space = ("+sweep.space={optimizer.lr: 'choice(1e-3, 1e-6)'}", "sweep.enqueue=[{optimizer.lr: 1e-6}]")
    sweep(tmp_path, *ddp, *few, *space, space="default")
    for trial, state in zip(study(tmp_path).trials, (TrialState.COMPLETE, TrialState.PRUNED), strict=True):
        assert trial.state == state
        folder = tmp_path / f"runs/sweeps/fnn/trial-{trial.number:04d}"
        weights = [(folder / f"weights-{rank}.txt") for rank in range(2)]
        if state == TrialState.COMPLETE:
            assert weights[0].read_text() == weights[1].read_text()
        else:
            assert not any(path.exists() for path in weights)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["optimizer"]["lr"] == float(trial.params["optimizer.lr"])
    here = [process for process in psutil.process_iter(["cwd", "cmdline"]) if process.info["cwd"] == str(tmp_path)]
    assert not [process for process in here if "src.launch.worker" in (process.info["cmdline"] or [])]
