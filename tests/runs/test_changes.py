"""A run that begins beside an older one of the same name says what is different."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from src.runs import changes
from src.runs.files import read_json, write_json
from src.runs.folder import Run
from src.runs.identity import Identity

OLD = Identity(
    config={
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001, "betas": [0.9, 0.999]},
        "model": {"_target_": "src.models.cnn.CNN", "width": 8},
        "augmentation": None,
        "seed": 0,
        "data": {"seed": 0},
    },
    data="da7a",
    code={"src/models/cnn.py": "c0de", "src/protocols.py": "5ea1"},
    packages={"torch": "2.13.0"},
)


def begin(root: Path, identity: Identity, *, name: str = "cnn", suffix: str = "", age: float = 0) -> Run:
    """A run of this identity that began so many seconds ago."""
    run = Run(root / f"{name}-{identity.digest[:8]}{suffix}")
    write_json(run.identity, changes.content(identity))
    os.utime(run.identity, (1e9 - age, 1e9 - age))
    return run


def since(root: Path, identity: Identity) -> str | None:
    return changes.since_latest(Run(root / f"cnn-{identity.digest[:8]}"), "cnn", identity)


def configured(**nodes: object) -> Identity:
    return replace(OLD, config={**OLD.config, **nodes})


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (replace(OLD, code={**OLD.code, "src/models/cnn.py": "other"}), "src/models/cnn.py changed"),
        (replace(OLD, code={**OLD.code, "src/losses.py": "1055"}), "src/losses.py is used"),
        (replace(OLD, code={"src/models/cnn.py": "c0de"}), "src/protocols.py is not used any more"),
        (replace(OLD, packages={"torch": "2.14.0"}), "torch 2.13.0 -> 2.14.0"),
        (replace(OLD, data="other"), "the prepared data changed"),
        (replace(OLD, start="cnn-1a2b3c4d"), "resume null -> cnn-1a2b3c4d"),
        (configured(seed=1, data={"seed": 1}), "seed 0 -> 1"),
        (configured(optimizer={**OLD.config["optimizer"], "lr": 0.01}), "optimizer.lr 0.001 -> 0.01"),
        (configured(optimizer={**OLD.config["optimizer"], "amsgrad": True}), "optimizer.amsgrad nothing -> true"),
        (
            configured(model={"_target_": "src.models.lenet.LeNet"}),
            "model._target_ src.models.cnn.CNN -> src.models.lenet.LeNet",
        ),
        (configured(augmentation={"_target_": "a.B", "p": 1}), "augmentation._target_ nothing -> a.B"),
        (
            replace(configured(seed=1), data="other", code={"src/models/cnn.py": "other", "src/protocols.py": "other"}),
            "seed 0 -> 1, the prepared data changed, src/models/cnn.py changed and 1 more",
        ),
    ],
)
def test_the_line_names_what_is_different(tmp_path, new, expected):
    old = begin(tmp_path, OLD)
    assert since(tmp_path, new) == f"new run: {expected} since {old.folder.name}"


def test_the_latest_run_of_the_name_is_compared(tmp_path):
    begin(tmp_path, configured(seed=1), age=20)
    latest = begin(tmp_path, configured(seed=2), suffix=".2", age=10)
    begin(tmp_path, configured(seed=3), name="cnn-wide")
    begin(tmp_path, configured(seed=4), name="fnn")
    (tmp_path / "cnn-00000000").mkdir()  # of a time before identity.json
    assert since(tmp_path, OLD) == f"new run: seed 2 -> 0 since {latest.folder.name}"


def test_the_first_run_of_a_name_and_one_that_is_forced_say_nothing(tmp_path):
    tmp_path.joinpath("fnn-00000000").mkdir()
    assert since(tmp_path, OLD) is None
    begin(tmp_path, OLD)
    assert changes.since_latest(Run(tmp_path / f"cnn-{OLD.digest[:8]}.2"), "cnn", OLD) is None


def test_the_file_holds_the_full_digests(tmp_path):
    content = read_json(begin(tmp_path, OLD).identity)
    assert content["digest"] == OLD.digest
    assert len(content["configuration"]["digest"]) == len(content["code"]["digest"]) == 64
    assert content["code"]["files"] == OLD.code
    assert content["configuration"]["values"]["optimizer.lr"] == 0.001
