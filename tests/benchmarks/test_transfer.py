"""What a study of transferred weights trains, and what it says."""

import re

import pytest

from benchmarks import transfer
from src.errors import InputError
from tests.repository import ROOT, run

SIZES = ["model.channels=[4]", "model.hidden=[]", "model.latent_size=4"]
SHORT = ["trainer.max_epochs=1", "trainer.limit_batches=3", "trainer.progress_bar=false", "trainer.accelerator=cpu"]
AWAY = "tracking.uri=http://127.0.0.1:9"  # no server listens there
STUDY = """
import sys
from benchmarks import transfer
transfer.SEEDS = range(2)
before, after = ["+experiment=contrastive"], ["+experiment=few_labels", "data=digits", "data.labelled=10"]
ways = ((), ("callbacks=freeze", "callbacks.freeze.parts=[encoder]"))
transfer.Study([*before, *sys.argv[1:]], [*after, *sys.argv[1:]], ways=ways).measure()
"""


@pytest.mark.cluster
def test_each_way_is_trained_for_each_seed_and_compared_with_training_from_scratch(digits, project):
    arguments = [*SIZES, *SHORT, AWAY, f"paths.prepared={digits[1].folder.parent}"]

    def printed() -> list[str]:
        return run(project, "python", "-c", STUDY, *arguments, PYTHONPATH=str(ROOT)).stdout.splitlines()[-4:]

    head, *rows = printed()
    assert len({*project.glob("runs/contrastive-*")}) == 2
    runs = {path.name for path in project.glob("runs/few_labels-*")}
    assert len(runs) == 2 * 3
    assert head == "test accuracy of +experiment=few_labels: mean (range) of 2 seeds"
    names = ["from scratch", "transferred", "transferred callbacks=freeze callbacks.freeze.parts=[encoder]"]
    assert [re.split(" {2,}", row.strip())[0] for row in rows] == names
    assert ["gain" in row for row in rows] == [False, True, True]
    assert printed() == [head, *rows]  # runs that exist are not trained again
    assert {path.name for path in project.glob("runs/few_labels-*")} == runs


def test_another_study_is_refused_by_the_names_of_those_that_there_are():
    with pytest.raises(InputError, match="weights: expected one of classes, views, reconstructions, or nothing for"):
        transfer.main(["weights"])
