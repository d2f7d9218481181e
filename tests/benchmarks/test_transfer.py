"""What a study of transferred weights trains, and what it says."""

import re

import pytest

from benchmarks import transfer
from benchmarks.transfer import Study
from src.errors import InputError

SHORT = (
    "trainer.max_epochs=1",
    "trainer.limit_batches=3",
    "trainer.progress_bar=false",
    "trainer.accelerator=cpu",
    "tracking.uri=http://127.0.0.1:9",  # nothing answers there
)
SIZES = ("model.channels=[4]", "model.hidden=[]", "model.code=4")


@pytest.fixture
def study(digits, project, monkeypatch) -> Study:
    place = f"paths.prepared={digits[1].folder.parent}"
    monkeypatch.setattr(transfer, "SEEDS", range(2))
    return Study(
        ["+experiment=contrastive", *SIZES, *SHORT, place],
        ["+experiment=few_labels", "data=digits", "data.labelled=10", *SIZES, *SHORT, place],
        ways=((), ("callbacks=freeze", "callbacks.freeze.parts=[encoder]")),
    )


def test_each_way_is_trained_for_each_seed_and_compared_with_training_from_scratch(study, project, capsys):
    study.measure()
    said = capsys.readouterr().out
    assert len({*project.glob("runs/contrastive-*")}) == 2
    runs = {path.name for path in project.glob("runs/few_labels-*")}
    assert len(runs) == 2 * 3
    head, *rows = said.splitlines()[-4:]
    assert head == "test accuracy of +experiment=few_labels: mean (range) of 2 seeds"
    names = ["from scratch", "transferred", "transferred callbacks=freeze callbacks.freeze.parts=[encoder]"]
    assert [re.split(" {2,}", row.strip())[0] for row in rows] == names
    assert ["gain" in row for row in rows] == [False, True, True]
    study.measure()  # what is there already is read off
    assert {path.name for path in project.glob("runs/few_labels-*")} == runs
    assert capsys.readouterr().out.splitlines()[-4:] == [head, *rows]


def test_another_study_is_refused_by_the_names_of_those_that_there_are():
    with pytest.raises(InputError, match="weights: expected one of classes, views, reconstructions, or nothing for"):
        transfer.main(["weights"])
