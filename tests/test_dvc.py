"""The pipeline under real `dvc repro`: which edit runs which stages, and a round trip through a remote."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.repository import clone, commit, repro, run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

EXPERIMENTS = ["dense", "pictures", "most_frequent"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with three small experiments: two networks on different data and a classical baseline."""
    folder = clone(tmp_path_factory.mktemp("a clone"))
    experiment(folder, "dense", model="fnn", data="digits")
    experiment(folder, "pictures", model="cnn", data="image_folder")
    rng = np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        (folder / "data/raw/images" / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.normal(level, 20, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "data/raw/images" / label / f"{number}.png")
    select(folder, EXPERIMENTS)
    commit(folder)
    return folder


def experiment(folder: Path, name: str, *, model: str, data: str) -> None:
    text = f"""# @package _global_
# A small experiment.
defaults:
  - override /model: {model}
  - override /data: {data}
name: {name}
trainer: {{max_epochs: 1}}
optimizer: {{lr: 1e-3}}
"""
    (folder / "conf/experiment" / f"{name}.yaml").write_text(text)


def select(folder: Path, names: list[str], **sweeps: list[str]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump({"experiments": names, "sweeps": sweeps}))


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text, f"{path} does not hold {old!r} any more: the edit would test nothing"
        (folder / path).write_text(text.replace(old, new, 1))

    return edit


def stages(*kinds: str, of: list[str]) -> set[str]:
    return {f"{kind}@{name}" for kind in kinds for name in of}


def one_byte(folder: Path) -> None:
    path = folder / "data/raw/images/dark/0.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)


NETWORKS = ["dense", "pictures"]
SEARCH = ["+sweep=fnn", "sweep.n_trials=2", "sweep.enqueue=[{optimizer.lr: 0.02}]"]
TABLE: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "nothing": (lambda folder: None, set()),
    "a comment in conf and a docstring": (
        lambda folder: [
            replace("conf/model/fnn.yaml", "_target_", "# a comment\n_target_")(folder),
            replace("src/tasks/base.py", "What every task says", "All that every task says")(folder),
        ],
        {"compose"},
    ),
    "one experiment's learning rate": (
        replace("conf/experiment/pictures.yaml", "lr: 1e-3", "lr: 2e-3"),
        {"compose", "report", *stages("train", "evaluate", of=["pictures"])},
    ),
    "a further analysis of one experiment": (
        replace("conf/experiment/pictures.yaml", "image_folder\n", "image_folder\n  - override /robustness: default\n"),
        {"compose", "report", *stages("evaluate", of=["pictures"])},
    ),
    "the model file of one experiment": (
        replace("src/models/cnn.py", "super().__init__()\n", "super().__init__()\n        self.width = width\n"),
        {"compose", "report", *stages("train", "evaluate", of=["pictures"])},
    ),
    "a loss": (
        replace("src/tasks/classification.py", "return Outcome(cross_entropy(", "return Outcome(1.5 * cross_entropy("),
        {"compose", "report", *stages("train", "evaluate", of=NETWORKS)},
    ),
    "the base task": (
        replace("src/optimization/training_module.py", "0 <= end <= step:", "0 <= end < step + 1:"),
        {"compose", "report", *stages("train", "evaluate", of=NETWORKS)},
    ),
    "a metric": (
        replace("src/metrics.py", "np.clip(probability[np.arange(len(target)), target], 1e-12, None)",
                "np.clip(probability[np.arange(len(target)), target], 1e-11, None)"),
        {"compose", "report", *stages("evaluate", of=EXPERIMENTS)},
    ),
    "the report's template": (lambda folder: _append(folder, "pipelines/templates"), {"report"}),
    "one byte of the raw data": (
        one_byte,
        {"report", *stages("prepare", of=EXPERIMENTS), *stages("train", "evaluate", of=["pictures"])},
    ),
    "an experiment added": (
        lambda folder: select(folder, [*EXPERIMENTS, "k_nearest_neighbours"]),
        {"compose", "report", *stages("prepare", "train", "evaluate", of=["k_nearest_neighbours"])},
    ),
    "a search": (
        lambda folder: select(folder, [*EXPERIMENTS, "k_nearest_neighbours"], dense=SEARCH),
        {"compose", "report", *stages("sweep", "train", "evaluate", of=["dense"])},
    ),
    "an experiment removed": (lambda folder: select(folder, EXPERIMENTS, dense=SEARCH), {"compose", "report"}),
    # dvc has the training without a search in its cache.
    "a search removed": (lambda folder: select(folder, EXPERIMENTS), {"compose", "report"}),
}  # fmt: skip


def _rate(path: Path) -> float | None:
    """The learning rate in a configuration or among the overrides of a search; None where there is no such file."""
    content = yaml.safe_load(path.read_text()) if path.is_file() else {}
    return content.get("overrides", {}).get("optimizer.lr") or content.get("optimizer", {}).get("lr")


def _append(folder: Path, templates: str) -> None:
    path = next((folder / templates).glob("index*"))
    path.write_text(path.read_text() + "\n")


def test_the_table_of_edits(project: Path) -> None:
    everything = {"compose", "report", *stages("prepare", "train", "evaluate", of=EXPERIMENTS)}
    assert repro(project) == everything
    untracked = run(project, "git", "status", "--porcelain").stdout
    assert untracked.split() in ([], ["??", "dvc.lock"])
    ran, rates = {}, {}
    for name, (edit, _) in TABLE.items():
        edit(project)
        ran[name] = repro(project)
        rates[name] = [_rate(project / "results/dense/model/config.yaml"), _rate(project / "results/dense/inputs/tuned.yaml")]
    assert ran == {name: expected for name, (_, expected) in TABLE.items()}
    trained, tuned = rates["a search"]
    assert trained == tuned
    assert rates["a search removed"] == [0.001, None]

    assert (project / "results/pictures/evaluation/tables/robustness.csv").is_file()
    assert not (project / "results/dense/evaluation/tables").exists()

    weights = project / "results/dense/model/weights.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    assert repro(project) == set()  # it comes back from DVC's cache
    assert weights.read_bytes() == content


def test_what_dvc_shows(project: Path) -> None:
    repro(project)
    commit(project)
    shown = run(project, "dvc", "metrics", "show").stdout.splitlines()
    assert shown[0].split() == ["Path", "parameters", "test/accuracy", "test/f1_macro", "test/log_loss"]
    assert any(line.startswith("results/dense/metrics.json ") for line in shown)
    assert max(map(len, shown)) < 120
    assert "2/recall" not in (project / "results/dense/metrics.json").read_text()
    replace("conf/experiment/dense.yaml", "lr: 1e-3", "lr: 5e-3")(project)
    assert repro(project, "compose") == {"compose"}
    changed = run(project, "dvc", "params", "diff", "--md").stdout
    assert re.search(r"build/dense.yaml\s*\|\s*optimizer.lr\s*\|\s*0.001\s*\|\s*0.005", changed), changed
    repro(project)
    assert re.search(r"results/dense/metrics.json\s*\|\s*test/log_loss", run(project, "dvc", "metrics", "diff", "--md").stdout)
    run(project, "dvc", "plots", "show")
    assert "dvc_plots" not in run(project, "git", "status", "--porcelain").stdout
    page = (project / "dvc_plots/index.html").read_text()
    assert "learning.csv" in page
    assert "confusion.png" in page


def test_an_experiment_of_dvc(project: Path) -> None:
    """Of one experiment, while params.yaml has the search of another one: beside the folder, queued, and in it."""
    select(project, EXPERIMENTS, dense=SEARCH)
    commit(project)
    params, one = (project / "params.yaml").read_text(), ("-S", "experiments=[most_frequent]")
    beside = run(project, "dvc", "exp", "run", *one, "--temp").stdout
    assert "the sweep of dense is ignored" in beside
    run(project, "dvc", "exp", "run", *one, "--queue")
    run(project, "dvc", "queue", "start")
    while "Queued" in (status := run(project, "dvc", "queue", "status").stdout) or "Running" in status:
        time.sleep(0.5)
    assert "Success" in status
    assert (project / "params.yaml").read_text() == params
    assert "Ran experiment" in run(project, "dvc", "exp", "run", *one).stdout
    page = (project / "reports/index.html").read_text()
    assert "most_frequent" in page
    assert "dense" not in page
    select(project, EXPERIMENTS)


def test_a_round_trip_through_a_remote(project: Path, tmp_path: Path) -> None:
    """Push; a fresh clone with the user's lock; pull; and `dvc repro` has nothing to do."""
    repro(project)
    run(project, "dvc", "remote", "add", "--force", "--default", "store", str(tmp_path / "remote"))
    commit(project)
    run(project, "dvc", "push")
    run(tmp_path, "git", "clone", "-q", str(project), "fresh")
    fresh = tmp_path / "fresh"
    run(fresh, "cp", "-r", str(project / "data/raw/images"), "data/raw/")
    run(fresh, "dvc", "pull")
    assert repro(fresh) == set()
    assert (fresh / "reports/index.html").is_file()
