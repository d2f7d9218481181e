"""The runs of a folder as rows: every state, the columns, and damaged files beside whole ones."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.config import composition, listing, options
from src.errors import InputError
from src.runs.folder import Run
from tests.runs.stored import stored

pytestmark = pytest.mark.usefixtures("project")


def states() -> dict[str, str]:
    return {row.run.folder.name: row.state for row in listing.rows(Path("runs"))}


def test_a_row_has_scores_timings_settings_and_the_options_of_groups():
    stored("cnn-1", "+experiment=cnn", "optimizer.lr=3e-4", run="f00d", accuracy=0.9, loss=0.3)
    (row,) = listing.rows(Path("runs"))
    expected = {
        "run": "cnn-1",
        "state": "finished",
        "test/accuracy": 0.9,
        "fit_seconds": 2.5,
        "best_epoch": 2,
        "optimizer.lr": 3e-4,
        "model": "cnn",
        "scheduler": "one_cycle",
        "augmentation": None,
        "name": "cnn",
        "mlflow": "f00d",
        "problem": None,
    }
    assert {name: row.values[name] for name in expected} == expected
    assert row.headline == ("test/accuracy",)
    assert "paths.runs" not in row.values


@pytest.mark.slow
def test_each_state():
    stored("finished", accuracy=0.9)
    stored("failed", status="FAILED")
    stored("killed", status="KILLED")
    stored("died", status="RUNNING")
    stored("unrecorded", status="RUNNING", accuracy=0.9)  # killed after its last number
    (Path("runs") / "submitted" / "submission").mkdir(parents=True)
    (Path("runs") / "hardly").mkdir()
    (Path("runs") / "hardly" / ".lock").touch()  # killed before it wrote anything
    (Path("runs") / "sweeps").mkdir()
    (Path("runs") / ".uploader").mkdir()
    interrupted = dict.fromkeys(("killed", "died", "unrecorded", "hardly"), "interrupted")
    assert states() == {"finished": "finished", "failed": "failed", **interrupted, "submitted": "submitted"}
    with Run(Path("runs/killed")).lock(), Run(Path("runs/new")).lock():
        now = states()
    assert (now["killed"], now["new"], now["died"]) == ("running", "running", "interrupted")


def test_the_newest_run_is_first():
    for hour in (1, 3, 2):
        stored(f"cnn-{hour}", hour=hour)
    assert [*states()] == ["cnn-3", "cnn-2", "cnn-1"]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("metrics.json", b'{"test/acc', r"runs/cnn-1/metrics\.json: expected a whole JSON file"),
        ("metrics.json", b"[1]", r"runs/cnn-1/metrics\.json: expected a JSON file with keys and values"),
        ("record.json", b"\xff\x00", r"runs/cnn-1/record\.json: expected a whole JSON file"),
        ("config.yaml", None, r"expected the file runs/cnn-1/config\.yaml; there is none"),
        ("config.yaml", b"a: [", r"runs/cnn-1/config\.yaml, line \d: expected YAML"),
        ("config.yaml", b"data: {}", r"runs/cnn-1/config\.yaml: expected a whole file; it has no model"),
        ("config.yaml", b"", r"runs/cnn-1/config\.yaml: expected a whole file"),
    ],
)
def test_a_damaged_run_is_named_and_hides_no_other(file, content, problem):
    path = stored("cnn-1", accuracy=0.5) / file
    stored("cnn-2", hour=1, accuracy=0.9)
    path.unlink() if content is None else path.write_bytes(content)
    whole, damaged = listing.rows(Path("runs"))
    assert (whole.state, whole.values["problem"]) == ("finished", None)
    assert damaged.state == "damaged"
    with pytest.raises(InputError, match=problem):
        raise InputError(damaged.values["problem"])


def test_what_a_stored_configuration_names_is_not_imported():
    path = stored("cnn-1", accuracy=0.5) / "config.yaml"
    path.write_text(path.read_text().replace("src.models.fnn.FNN", "this.FNN"))
    (row,) = listing.rows(Path("runs"))
    assert row.values["model"] == "FNN"


@pytest.mark.parametrize(
    ("choices", "group", "option"),
    [
        (["model=resnet18"], "model", "resnet18"),
        (["model=vae_mixture"], "model", "vae_mixture"),
        (["model=encoder_projection"], "model", "encoder_projection"),
        (["model=fnn", "model.activation._target_=torch.nn.Tanh"], "model", "fnn"),
        (["model=random_forest", "trainer=classical"], "model", "random_forest"),
        (["data=fashion_mnist"], "data", "fashion_mnist"),
        (["augmentation=mixup"], "augmentation", "mixup"),
    ],
)
def test_a_node_is_called_as_the_user_chose_it(choices, group, option):
    content = OmegaConf.to_container(composition.resolve_without_facts(composition.compose(choices)))
    assert isinstance(content, dict)
    assert options.chosen(group, content[group]) == option


def test_a_folder_that_is_missing():
    with pytest.raises(InputError, match=r"^runs=runs: expected a folder of runs; there is none"):
        states()
    Path("runs").mkdir()
    assert states() == {}
