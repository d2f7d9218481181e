"""The import rules hold, and a planted violation of each is caught."""

import pytest

from tests.repository import clone, run

PLANTED = {
    "src about one": ("src/runs.py", "import pipelines.compose"),
    "src imports downwards": ("src/models/cnn.py", "import src.assembly"),
    "siblings": ("src/tasks/base.py", "import src.data.store"),
    "an undeclared module": ("src/utils.py", '"""A room for everything."""'),
    "an undeclared module of pipelines": ("pipelines/misc.py", '"""A room for everything."""'),
    "models do not import models": ("src/models/cnn.py", "import src.models.fnn"),
    "mlflow only in tracking": ("src/training.py", "import mlflow"),
    "hydra": ("src/training.py", "import omegaconf"),
    "optuna": ("src/train.py", "import optuna"),
    "dvc": ("pipelines/stage.py", "import dvc"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return clone(tmp_path_factory.mktemp("rules"))


def test_the_rules_hold(copy):
    assert "0 broken" in run(copy, "lint-imports", "--no-cache").stdout


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_caught(copy, name):
    path, line = copy / PLANTED[name][0], PLANTED[name][1]
    before = path.read_text() if path.is_file() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        run(copy, "lint-imports", "--no-cache", code=1)
    finally:
        path.unlink() if before is None else path.write_text(before)
