"""Texts of a user's own, from the command line to answers, and a training of them that is interrupted."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.runs.folder import Run
from tests import texts
from tests.contracts.shipped import at_hand
from tests.records import whole_store
from tests.repository import ROOT, run

DATA = ("data=text", "data.path=my reviews/texts.csv", "data.text=text", "data.target=label", "data.columns.split=part")
SMALL = ("model.size=16", "model.maps=8", "optimizer.lr=1e-2", "trainer.max_epochs=6", "data.batch_size=8")


def command(folder: Path, module: str, *overrides: str, code: int = 0) -> str:
    """What a command prints, in a process of its own."""
    done = run(folder, "python", "-m", f"src.{module}", *overrides, code=code, PYTHONPATH=str(ROOT))
    return done.stderr + done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a folder")
    texts.write(folder / "my reviews/texts.csv", 150)
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> Run:
    printed = command(folder, "train", "+experiment=textcnn", *DATA, *SMALL)
    return Run(folder / printed.splitlines()[-1].removeprefix("run: "))


@pytest.mark.slow
def test_a_table_of_texts_is_learned(trained):
    metrics = json.loads(trained.metrics.read_text())
    assert metrics["test/accuracy"] > 0.8
    assert {"mistakes.png", "confusion.png"} <= {path.name for path in trained.figures.iterdir()}
    table = pd.read_parquet(trained.predictions)
    assert table["example"][0].startswith("line ")


@pytest.mark.slow
def test_raw_texts_have_the_answers_of_their_predictions(trained, folder):
    known = pd.read_parquet(trained.predictions)
    rows = pd.read_csv(folder / "my reviews/texts.csv")
    test = rows[rows["part"] == "test"]
    test[["text"]].to_csv(folder / "new.csv", index=False)
    command(folder, "predict", f"run={trained.folder.name}", "input=new.csv", "output=answers.parquet")
    answers = pd.read_parquet(folder / "answers.parquet")
    for column in [name for name in known if name.startswith(("prediction", "probability"))]:
        assert answers[column].tolist() == known[column].tolist()
    (folder / "broken.jsonl").write_text('{"text": "dull , bad"}\n{"text": " "}\n')
    printed = command(folder, "predict", f"run={trained.folder.name}", "input=broken.jsonl", code=1)
    assert "line 2: expected a text; received an empty one" in printed
    assert "line 1,0,negative," in printed


@pytest.mark.slow
def test_mlflow_takes_texts(trained, folder):
    known = pd.read_parquet(trained.predictions)
    rows = pd.read_csv(folder / "my reviews/texts.csv")
    own = rows[rows["part"] == "test"]["text"].tolist()
    experiment = whole_store(folder).get_experiment_by_name("athanor")
    assert experiment is not None
    script = f"""
import json, mlflow
mlflow.set_tracking_uri("sqlite:///{folder / "mlflow.db"}")
(model,) = mlflow.search_logged_models(["{experiment.experiment_id}"], output_format="list")
answers = mlflow.pyfunc.load_model(model.model_uri).get_raw_model().predict({own!r})
print(json.dumps(answers.tolist()))
"""
    done = run(folder.parent, sys.executable, "-c", script, fresh=True)
    expected = known[[name for name in known if name.startswith("probability")]].to_numpy()
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not at_hand("minilm"), reason="the package that has MiniLM is not installed")
def test_a_pretrained_encoder_learns_a_table_of_texts(folder):
    short = ("explanation=none", "trainer.max_epochs=2", "optimizer.lr=2e-4", "data.batch_size=16")
    printed = command(folder, "train", "+experiment=minilm", *DATA, *short)
    own = Run(folder / printed.splitlines()[-1].removeprefix("run: "))
    assert json.loads(own.metrics.read_text())["test/accuracy"] > 0.8
    command(folder, "predict", f"run={own.folder.name}", "input=my reviews/texts.csv", "output=pretrained.csv")
    assert len(pd.read_csv(folder / "pretrained.csv")) == 150
