"""A run is found by its folder, by the name of its folder, or by its id in MLflow."""

from pathlib import Path

import pytest

from src.config import command_line
from src.errors import InputError
from src.runs import finding
from src.runs.files import write_json
from src.runs.folder import UPLOADED


@pytest.fixture
def own(project) -> Path:
    """A run in the folder of runs, which MLflow knows, beside another one."""
    for name, number in (("cnn-1a2b3c4d", "f00d"), ("cnn-5e6f7a8b", "cafe")):
        write_json(Path("runs") / name / UPLOADED, {"run": number})
    return Path("runs/cnn-1a2b3c4d")


def test_each_name_leads_to_the_folder(own):
    for name in ("cnn-1a2b3c4d", "runs/cnn-1a2b3c4d", str(own.resolve()), "runs:/f00d"):
        assert finding.folder("run", name, runs=Path("runs")).resolve() == own.resolve()


@pytest.mark.parametrize("name", ["cnn", "", "runs:/", "runs:/beef", "runs/cnn-1a2b3c4d/.uploaded.json"])
def test_what_names_no_run_is_refused(own, name):
    with pytest.raises(InputError, match=rf"^run={name}: expected the folder of a run, the name of one in runs, or runs:/ID"):
        finding.folder("run", name, runs=Path("runs"))


def test_a_key_of_the_configuration_names_a_run_too(own):
    for name in ("cnn-1a2b3c4d", "runs:/f00d"):
        config = command_line.configure(["+experiment=vae", f"evaluation.classifier={name}"])
        assert config.evaluation.classifier == "runs/cnn-1a2b3c4d"
    with pytest.raises(InputError, match=r"resume=cnn-9: expected the folder of a run"):
        command_line.configure(["resume=cnn-9"])
    with pytest.raises(InputError, match=r"resume=runs/cnn-1a2b3c4d: .* no config\.yaml in it"):
        command_line.configure(["resume=runs:/f00d"])
