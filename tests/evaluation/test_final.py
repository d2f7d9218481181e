"""A run that is trained and evaluated on its test part, with its record."""

import json

from src.runs.folder import Run
from tests.repository import ROOT, run


def test_grids_that_a_training_drew_stay_beside_the_figures_of_its_evaluation(project):
    quick = ("trainer.max_epochs=1", "trainer.accelerator=cpu", "model.width=2", "paths.prepared=prepared")
    printed = run(project, "python", "-m", "src.train", "+experiment=dcgan", "data=digits", *quick, PYTHONPATH=str(ROOT)).stdout
    found = Run(project / printed.splitlines()[-1].removeprefix("run: "))
    assert (found.figures / "samples.png").is_file()
    assert (found.figures / "training/samples_epoch_0001.png").is_file()
    artifacts = json.loads(found.record.read_text())["artifacts"]
    assert {"file": "figures/training/samples_epoch_0001.png", "folder": "figures/training"} in artifacts
