"""The same command again: the same run, continued, evaluated again, beside it or anew, and what it says then."""

import json
from pathlib import Path

import pytest
import torch

from src import evaluate
from src.config import command_line
from src.errors import InputError
from src.runs import checkpoints
from src.runs.files import read_json
from src.runs.folder import Run
from src.train import train
from tests.records import whole_store

FNN = ("+experiment=fnn", "trainer.max_epochs=1", "trainer.limit_batches=20")


def trained(*overrides: str) -> Run:
    return train(command_line.configure(overrides))


@pytest.fixture(scope="module")
def first(shared_project: Path) -> Run:
    """A finished run in the working folder."""
    return trained(*FNN)


@pytest.mark.slow
def test_force_makes_the_next_folder_with_equal_weights(first, capsys):
    forced = trained(*FNN, "force=true")
    assert "new run" not in capsys.readouterr().out
    assert str(forced.folder) == f"{first.folder}.2"
    one, other = (checkpoints.read(path)["state_dict"] for path in (first.best, forced.best))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert forced.metrics.read_text() == first.metrics.read_text()


@pytest.mark.slow
def test_a_changed_run_says_what_is_different(first, capsys):
    other = trained(*FNN, "seed=1")
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("new run: seed 0 -> 1 since fnn-")
    assert read_json(other.identity)["digest"].startswith(other.folder.name.removeprefix("fnn-"))


def test_a_run_whose_identity_begins_alike_is_refused(first):
    before = first.identity.read_text()
    first.identity.write_text(before.replace(json.loads(before)["digest"], "0" * 64))
    try:
        with pytest.raises(InputError, match="received one with 0000"):
            trained(*FNN)
    finally:
        first.identity.write_text(before)


def test_a_run_without_an_identity_file_is_the_same_run(first, capsys):
    before = first.identity.read_text()
    first.identity.unlink()  # as in the folder of an older run
    assert trained(*FNN) == first
    assert capsys.readouterr().out.startswith("This run exists; nothing is trained.")
    first.identity.write_text(before)


@pytest.mark.slow
def test_a_finished_run_is_trained_further(first):
    longer = trained(f"resume={first.folder}", "trainer.max_epochs=2")
    steps = [json.loads(line)["step"] for line in longer.journal.read_text().splitlines()]
    assert (min(steps) > 20, max(steps)) == (True, 40)
    assert read_json(longer.metrics)["epochs"] == 2


@pytest.mark.cluster
def test_a_finished_run_is_evaluated_with_other_settings(project, capsys):
    settings = FNN
    plain = trained(*settings)
    best, numbers = plain.best.read_bytes(), json.loads(plain.metrics.read_text())
    assert not (plain.figures / "explanation.png").exists()
    with pytest.raises(InputError):
        trained(*settings, "evaluation.top_k=0")
    assert json.loads(plain.metrics.read_text()) == numbers  # what is refused costs nothing
    capsys.readouterr()
    assert trained(*settings, "explanation=default") == plain
    assert "It is evaluated again, with other settings." in capsys.readouterr().out
    assert plain.best.read_bytes() == best
    explained = json.loads(plain.metrics.read_text())
    assert explained.items() > numbers.items()
    assert (plain.figures / "explanation.png").is_file()
    other = (*settings, "explanation=default", "explanation.right=1")
    trained(*other)
    changed = json.loads(plain.metrics.read_text())
    assert changed["test/saliency_randomised_correlation"] != explained["test/saliency_randomised_correlation"]
    capsys.readouterr()
    trained(*other)
    assert capsys.readouterr().out.startswith("This run exists; nothing is trained. force=true")
    client = whole_store(project)
    (kept,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    assert kept.info.status == "FINISHED"
    named = "test/saliency_randomised_correlation"
    assert kept.data.metrics[f"values/{named}"] == pytest.approx(changed[named])  # the later value
    assert "figures/explanation.png" in {artifact.path for artifact in client.list_artifacts(kept.info.run_id, "figures")}
    assert evaluate.main([f"run={plain.folder}", "explanation=none"]) == 0
    capsys.readouterr()
    trained(*other)
    assert "evaluated again" in capsys.readouterr().out  # whichever command has evaluated it last
    assert json.loads(plain.metrics.read_text()) == changed


@pytest.mark.cluster
def test_an_evaluation_that_is_killed_trains_nothing_again(project):
    killed = trained("+experiment=most_frequent")
    before, record = killed.best.stat(), json.loads(killed.record.read_text())
    killed.record.write_text(json.dumps({**record, "status": "RUNNING", "ended": None}))  # as a kill during it leaves it
    killed.forget_test()
    trained("+experiment=most_frequent", "evaluation.top_k=2")
    assert (killed.best.stat().st_mtime_ns, killed.best.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert "test/top_2_accuracy" in json.loads(killed.metrics.read_text())
    assert json.loads(killed.record.read_text())["status"] == "FINISHED"
