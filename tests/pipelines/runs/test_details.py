"""One run in full: what differs from its experiment, how it ended, and what is wrong with a damaged one."""

import pytest

from pipelines.runs import __main__ as runs
from src.errors import InputError
from src.runs.files import read_json, write_json
from src.runs.folder import UPLOADED
from tests.runs.stored import stored

pytestmark = pytest.mark.usefixtures("project")


def shown(capsys, name: str) -> str:
    runs.main([f"show={name}"])
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_settings_that_differ_from_the_experiment(capsys):
    stored("cnn-1", "+experiment=cnn", "optimizer.lr=3e-4", "data.labelled=20", "data.dataset.split.test=0.3", accuracy=0.95)
    text = shown(capsys, "cnn-1")
    differences = ("data.labelled null -> 20", "optimizer.lr 0.005 -> 0.0003", "data.dataset.split.test 0.2 -> 0.3")
    assert "\n".join(["settings that differ from +experiment=cnn", *(f"  {line}" for line in differences), ""]) in text
    assert "  test/accuracy     0.9500\n" in text
    assert "  metrics.json  " in text


@pytest.mark.slow
def test_what_the_data_and_the_machine_fill_in_is_no_difference(capsys):
    facts = ("data.shape=[3,224,224]", "data.num_classes=2")
    stored("resnet18-1", "+experiment=resnet18", *facts, "trainer.precision=bf16-mixed", accuracy=0.9)
    assert "settings: those of +experiment=resnet18\n" in shown(capsys, "resnet18-1")
    stored("cnn-2", "+experiment=cnn", "seed=0", accuracy=0.9)
    assert "settings: those of +experiment=cnn\n" in shown(capsys, "cnn-2")


@pytest.mark.slow
def test_a_run_that_another_name_was_given_is_held_against_the_defaults(capsys):
    stored("mine-1", "+experiment=cnn", "name=mine", accuracy=0.95)
    assert "settings that differ from the defaults\n" in (text := shown(capsys, "mine-1"))
    assert "  model._target_ src.models.fnn.FNN -> src.models.cnn.CNN\n" in text


@pytest.mark.slow
def test_how_a_run_ended_and_where_its_record_is(capsys):
    folder = stored("cnn-1", "+experiment=cnn", status="FAILED")
    write_json(folder / "record.json", {**read_json(folder / "record.json"), "tags": {"failure": "the loss is nan\nmore"}})
    assert "  failure  the loss is nan\n  MLflow   not there yet; " in shown(capsys, "cnn-1")
    write_json(folder / UPLOADED, {"uri": "http://me:***@server:5000", "experiment": "1", "run": "f00d"})
    assert "  MLflow   http://server:5000/#/experiments/1/runs/f00d" in shown(capsys, "runs:/f00d")


def test_what_is_wrong_with_a_damaged_run(capsys):
    folder = stored("cnn-1", "+experiment=cnn", accuracy=0.95)
    (folder / "metrics.json").write_text("{")
    assert "  problem  runs/cnn-1/metrics.json: expected a whole JSON file" in shown(capsys, "cnn-1")
    with pytest.raises(InputError, match="show=cnn-9: expected the folder of a run"):
        runs.main(["show=cnn-9"])
