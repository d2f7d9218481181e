"""The door for notebooks: the same configuration, run and table as by the commands."""

from pathlib import Path

import pandas as pd
import pytest

from src import api
from src.config import command_line
from src.errors import InputError
from tests.runs.stored import stored


@pytest.mark.slow
def test_a_run_is_trained_found_again_and_loaded(project, capsys):
    overrides = ["+experiment=most_frequent", "tracking.wait=0"]
    assert api.compose(overrides) == command_line.configure(overrides)
    run = api.train(api.compose(overrides))
    assert run.folder.parent == Path("runs")
    capsys.readouterr()
    assert api.train(overrides) == run
    assert capsys.readouterr().out.startswith("This run exists; nothing is trained.")
    loaded = api.load(run.folder.name)
    assert loaded.metrics["test/accuracy"] == (loaded.predictions["target"] == loaded.predictions["prediction"]).mean()
    low, high = loaded.intervals["test/accuracy"]
    assert low < loaded.metrics["test/accuracy"] < high
    assert loaded.config.model.strategy == "most_frequent"
    rows = loaded.predictions["index"].to_numpy()[:4]
    answers = next(loaded.experiment.learner.predict(loaded.experiment.data, rows))
    assert (answers["probability"].argmax(1) == loaded.predictions["prediction"][:4]).all()
    table = api.runs()
    assert table.loc[run.folder.name, "test/accuracy"] == loaded.metrics["test/accuracy"]
    assert table.loc[run.folder.name, "state"] == "finished"


def test_all_runs_are_a_data_frame(project):
    stored("cnn-1", "+experiment=cnn", hour=1, accuracy=0.95)
    stored("fnn-2", "+experiment=fnn", hour=2, status="KILLED")
    table = api.runs()
    assert [*table.index] == ["fnn-2", "cnn-1"]
    assert table["test/accuracy"].to_dict() == pytest.approx({"fnn-2": float("nan"), "cnn-1": 0.95}, nan_ok=True)
    assert table["started"]["fnn-2"] - table["started"]["cnn-1"] == pd.Timedelta(hours=1)
    assert table.query("`optimizer.lr` > 0.001 and model == 'cnn'").index.tolist() == ["cnn-1"]
    Path("none").mkdir()
    assert api.runs("none").empty


def test_what_is_wrong_is_an_exception(project):
    with pytest.raises(InputError, match=r"optimizer.lrr: there is no such option; nearest: optimizer\.lr"):
        api.compose(["optimizer.lrr=1"])
    with pytest.raises(InputError, match=r"expected a list of overrides; received one text\. Write: \['\+experiment=cnn'\]"):
        api.train("+experiment=cnn")
    with pytest.raises(InputError, match="run=cnn-9: expected the folder of a run"):
        api.load("cnn-9")
    stored("cnn-1", "+experiment=cnn")
    with pytest.raises(InputError, match=r"runs/cnn-1: expected predictions of the test split; .* run=runs/cnn-1`"):
        _ = api.load("cnn-1").predictions


def test_a_run_of_someone_else_names_no_foreign_code(project):
    path = stored("cnn-1", "+experiment=cnn") / "config.yaml"
    path.write_text(path.read_text().replace("src.models.cnn.CNN", "os.getcwd"))
    with pytest.raises(InputError, match=r"received os\.getcwd \(model\)"):
        _ = api.load("cnn-1").experiment
