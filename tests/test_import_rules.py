"""The import rules hold, and a planted violation of each is caught."""

import pytest

from tests.repository import clone, run

# By what is planted: the contract that it must break, the file, and the line.
ABOUT, DOWN = "pipelines know about many runs, src about one", "src imports downwards"
PLANTED = {
    "src knows pipelines": (ABOUT, "src/runs/folder.py", "import pipelines.compose"),
    "a model knows the assembly": (DOWN, "src/models/cnn.py", "import src.config.assembly"),
    "siblings know each other": (DOWN, "src/tasks/base.py", "import src.data.store"),
    "a module without a place": (DOWN, "src/utils.py", '"""A room for everything."""'),
    "a pipeline without a place": ("pipelines import downwards", "pipelines/misc.py", '"""A room for everything."""'),
    "a model knows a model": ("models do not import models", "src/models/cnn.py", "import src.models.fnn"),
    "mlflow": ("mlflow only in tracking", "src/training/learner.py", "import mlflow"),
    "omegaconf": ("hydra and omegaconf not below config", "src/training/learner.py", "import omegaconf"),
    "optuna": ("optuna only in pipelines, dvc nowhere", "src/train.py", "import optuna"),
    "kornia": ("kornia is reached through conf alone", "src/data/augmentation.py", "import kornia"),
    "captum": ("captum only in evaluation", "src/training/learner.py", "import captum"),
    "dvc": ("pipelines leave dvc to dvc.yaml", "pipelines/stage.py", "import dvc"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return clone(tmp_path_factory.mktemp("rules"))


def test_the_rules_hold(copy):
    assert "0 broken" in run(copy, "lint-imports", "--no-cache").stdout


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_caught(copy, name):
    contract, file, line = PLANTED[name]
    path = copy / file
    before = path.read_text() if path.is_file() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        assert f"{contract} BROKEN" in run(copy, "lint-imports", "--no-cache", code=1).stdout
    finally:
        path.unlink() if before is None else path.write_text(before)
