"""What makes two runs the same run, and what does not."""

import shutil
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from src.config import composition
from src.errors import InputError
from src.runs import identity, modules
from tests.repository import ROOT
from tests.runs import forget

CNN = "src.models.cnn.CNN"


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A copy of src whose text identity looks at; its imports must stay as they are."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(modules, "ROOT", tmp_path)
    forget()
    return tmp_path


@pytest.fixture(autouse=True)
def _forget():
    """What identity has read of the files is read again."""
    yield
    forget()


@cache
def resolved(*overrides: str) -> dict[str, Any]:
    return composition.container(composition.resolve(composition.compose(overrides)))


@pytest.mark.slow
def test_the_same_inputs_give_the_same_identity():
    config = resolved("+experiment=cnn")
    name = identity.run_id(config, "data")
    assert len(name) == 8
    assert int(name, 16) >= 0
    assert identity.run_id(dict(reversed(deepcopy(config).items())), "data") == name  # whatever the order of the keys
    forget()
    resolved.cache_clear()
    assert identity.run_id(resolved("+experiment=cnn"), "data") == name


def changed(key: str, value: Any) -> dict[str, Any]:
    """The default configuration with one value changed or added."""
    config = deepcopy(resolved())
    *groups, name = key.split(".")
    node = config
    for group in groups:
        node = node[group]
    assert node.get(name, ...) != value
    node[name] = value
    return config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.progress_bar", False),
        ("trainer.log_every_n_steps", 1),
        ("trainer.save_every_n_minutes", 1.0),
        ("trainer.profiler", "simple"),
        ("paths.runs", "elsewhere"),
        ("paths.prepared", "elsewhere"),
        ("tracking.uri", "http://tracking:5000"),
        ("tracking.wait", 1.0),
        ("evaluation.top_k", 2),
        ("explanation", {"_target_": "src.evaluation.explanation.Explanation"}),
        ("robustness", {"_target_": "src.evaluation.robustness.Robustness"}),
        ("name", "another"),
        ("force", True),
        ("resume", "runs/one"),  # its name counts as the start
        ("data.dataset.max_duplicates", 0.5),  # the content of the prepared data stands for all of data.dataset
    ],
)
def test_presentation_and_place_do_not_change_it(key, value):
    assert identity.run_id(changed(key, value), "data") == identity.run_id(resolved(), "data")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer.lr", 0.0123),
        ("optimizer._target_", "torch.optim.SGD"),
        ("optimizer", {"_target_": "torch.optim.Adam"}),
        ("augmentation", {"_target_": "src.data.augmentation.Augmentation"}),
        ("averaging", {"_target_": "src.optimization.averaging.EMA", "decay": 0.9}),
        ("divergence", {"_target_": "src.optimization.divergence.Skip", "limit": 3}),
        ("trainer.auto_micro_batch", True),
        ("scheduler", {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1}),
        ("seed", 1),
        ("data.batch_size", 33),
        ("model.hidden", [65]),
        ("trainer.max_epochs", 33),
        ("trainer.steps_per_call", 1),
        ("trainer.something_new", 1),
        ("task.label_smoothing", 0.123),
        ("callbacks", {"early_stopping": {"_target_": "lightning.pytorch.callbacks.EarlyStopping"}}),
        ("objective.mode", "min"),
    ],
)
def test_what_decides_the_training_changes_it(key, value):
    assert identity.run_id(changed(key, value), "data") != identity.run_id(resolved(), "data")


def test_data_and_start_change_it():
    config = resolved()
    names = {
        identity.run_id(config, "data"),
        identity.run_id(config, "other data"),
        identity.run_id(config, "data", start="cnn-1"),
        identity.run_id(config, "data", start="cnn-2"),
    }
    assert len(names) == 4


def test_the_training_part_does_not_touch_the_configuration():
    config = resolved()
    before = deepcopy(config)
    part = identity.training_part(config)
    assert config == before
    assert "dataset" not in part["data"]
    assert part["data"]["batch_size"] == config["data"]["batch_size"]


def test_targets_are_found_at_any_depth():
    node = {"a": {"_target_": "x.Y", "b": [{"_target_": "x.Z"}, 3]}, "_target_": "x.A", "c": {"_target_": 5}}
    assert identity.targets(node) == ["x.A", "x.Y", "x.Z"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models/cnn.py", '"""A small convolutional network."""', '"""Another text."""'),
        ("models/cnn.py", '    """Two 3x3 convolutions', '    """Some convolutions'),
        ("models/cnn.py", "        super().__init__()\n", "        # a comment\n\n        super().__init__()  # and another\n"),
        (
            "models/cnn.py",
            "nn.Dropout(dropout),\n            nn.Linear(128",
            "nn.Dropout(\n  dropout),\n            nn.Linear(128",
        ),
        ("models/cnn.py", "CNN: expected images", "CNN: these are no images; expected others"),
        ("models/lenet.py", "nn.Tanh()", "nn.ReLU()"),  # another model
        ("optimization/optimizer_step.py", "clip_grad_norm_", "clip_grad_value_"),  # which no model imports
    ],
)
def test_what_does_not_run_does_not_change_the_code(copy, file, old, new):
    before = identity.code([CNN])
    edit(copy / "src" / file, old, new)
    assert identity.code([CNN]) == before


@pytest.mark.parametrize(("old", "new"), [("3, padding=1", "5, padding=2"), ("ShareBelowOne = 0.25", "ShareBelowOne = 0.5")])
def test_what_runs_changes_the_code(copy, old, new):
    before = identity.code([CNN])
    edit(copy / "src/models/cnn.py", old, new)
    assert identity.code([CNN]) != before


def test_what_a_target_imports_changes_its_code(copy):
    cnn, autoencoder = identity.code([CNN]), identity.code(["src.models.autoencoder.Autoencoder"])
    edit(copy / "src/protocols.py", "    latent: Tensor", "    latent: Tensor\n    extra: int = 0")
    assert identity.code([CNN]) == cnn
    assert identity.code(["src.models.autoencoder.Autoencoder"]) != autoencoder


def test_the_verb_counts_with_assembly_but_without_their_imports(copy):
    before = identity.code([CNN], verb="train")
    assert before != identity.code([CNN])
    edit(copy / "src/tracking/record.py", '"FINISHED"', '"DONE"')
    assert identity.code([CNN], verb="train") == before
    edit(copy / "src/config/assembly.py", 'seed=content["seed"]', 'seed=content["seed"] + 1')
    changed = identity.code([CNN], verb="train")
    assert changed != before
    edit(copy / "src/train.py", "if fitted:", "if not fitted:")
    assert identity.code([CNN], verb="train") not in (before, changed)


@pytest.mark.slow
def test_what_only_speaks_or_locks_changes_no_name(copy):
    config = resolved("+experiment=cnn")
    before = identity.of(config, "data")
    for file, old, new in (
        ("training/callbacks/progress.py", 'unit="step"', 'unit=" steps"'),
        ("runs/locks.py", "HEARTBEAT = 5.0", "HEARTBEAT = 6.0"),
        ("errors.py", "class RunFailed", "class Another(Stop):\n    code = 4\n\n\nclass RunFailed"),
        ("signals.py", "signal.SIGUSR1)", "signal.SIGUSR2)"),
        ("training/cost.py", "expected a model for examples of shape", "received examples of shape"),
        ("config/plan.py", "This run exists", "There is such a run"),
    ):
        edit(copy / "src" / file, old, new)
    assert identity.of(config, "data") == before
    edit(copy / "src/models/cnn.py", "nn.Dropout(dropout)", "nn.Dropout(dropout / 2)")
    changed = identity.of(config, "data")
    assert changed.digest != before.digest
    assert {path for path in changed.code if changed.code[path] != before.code[path]} == {"src/models/cnn.py"}


def test_the_modules_that_only_speak_exist():
    assert all(modules.module(module).name == module for module in (*identity.SPEAKING, *identity.ASSEMBLY))


def test_the_code_of_several_targets_does_not_depend_on_their_order():
    names = [CNN, "src.tasks.classification.Classification", "torch.optim.Adam"]
    assert identity.code(names) == identity.code(reversed(names))


@pytest.fixture
def mylab(tmp_path, monkeypatch) -> Path:
    """A package of the user's own in a folder on Python's path: a network, and a block that it imports."""
    folder = tmp_path / "elsewhere" / "mylab_of_identity"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""Mine."""\n')
    (folder / "nets.py").write_text("from torch import nn\nfrom .blocks import block\nNet = lambda: nn.Sequential(block())\n")
    (folder / "blocks.py").write_text("import yaml\nfrom torch import nn\nblock = lambda: nn.ReLU()\n")
    (folder / "other.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(folder.parent)
    forget()
    return folder


@pytest.mark.slow
def test_code_in_a_folder_on_the_path_counts_with_what_it_imports_there(mylab):
    config = changed("model", {"_target_": "mylab_of_identity.nets.Net"})
    before = identity.of(config, "data")
    own = {f"mylab_of_identity/{name}.py" for name in ("__init__", "nets", "blocks")}
    assert {path for path in before.code if not path.startswith("src/")} == own
    edit(mylab / "other.py", "1", "2")
    edit(mylab / "blocks.py", "import yaml", "import yaml  # a comment")
    assert identity.of(config, "data") == before
    edit(mylab / "blocks.py", "nn.ReLU", "nn.GELU")
    assert identity.run_id(config, "data") != before.digest[:8]
    mylab.rename(mylab.with_name("gone"))
    forget()
    with pytest.raises(InputError, match=r"received mylab_of_identity\.nets\.Net, but there is no module mylab_of_identity\."):
        identity.of(config, "data")


def test_a_class_that_hydra_only_looks_up_counts(mylab):
    settings = {"_target_": "hydra.utils.get_method", "path": "mylab_of_identity.nets.Net"}
    before = identity.of(changed("task.activation", settings), "data")
    assert "mylab_of_identity/nets.py" in before.code


@pytest.mark.slow
def test_an_installed_package_counts_by_its_version(monkeypatch):
    config = resolved("+experiment=logistic_regression")
    before = identity.of(config, "data")
    assert list(before.packages) == ["scikit-learn"]
    assert not any(path.startswith("sklearn") for path in before.code)
    monkeypatch.setattr(modules, "_distributions", lambda top: (("scikit-learn", "9.9"),))
    assert identity.of(config, "data").digest != before.digest


def test_a_module_in_machine_code_counts_by_its_bytes(mylab):
    path = mylab / "fast.so"
    path.write_bytes(b"\x7fELF one")
    targets = ["mylab_of_identity.fast.Net"]
    before = identity.files(targets)
    assert set(before) == {"mylab_of_identity/__init__.py", "mylab_of_identity/fast.so"}
    path.write_bytes(b"\x7fELF two")
    forget()
    assert identity.files(targets) != before


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    forget()
