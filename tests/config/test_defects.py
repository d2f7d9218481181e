"""A defect keeps its traceback and ends a command with 1, after a line that says in whose code it arose."""

import json
from collections.abc import Callable

import pytest
import torch

from src.config import command_line
from src.config.defects import origin
from src.config.instantiation import make
from src.runs.files import read_json
from src.train import train
from tests.config.mylab import WrongConstructor, WrongForward
from tests.config.test_instantiation import SIZES


def caught(work: Callable[[], object]) -> str:
    try:
        work()
    except Exception as error:
        return origin(error)
    pytest.fail("expected an error")


def test_the_innermost_place_outside_libraries_is_named():
    net = WrongForward(**SIZES)
    assert caught(lambda: net(torch.zeros(1, 1, 8, 8))).startswith("error in your code: tests/config/mylab.py:36 in forward")
    assert caught(lambda: WrongConstructor(**SIZES)).startswith("error in your code: tests/config/mylab.py:29 in __init__")
    assert caught(lambda: read_json(5)).startswith("error in this repository: src/runs/files.py:")
    assert caught(lambda: json.loads(5)).startswith("error in your code: tests/config/test_defects.py:")


def test_a_library_that_fails_right_below_the_assembly_is_named():
    line = caught(lambda: make({"_target_": "torch.nn.Linear", "in_features": "eight", "out_features": 1}, "model"))
    assert "torch/nn/modules/linear.py" in line


def test_a_syntax_error_is_in_its_own_file(tmp_path, monkeypatch):
    (tmp_path / "mistyped.py").write_text("x = 1\ndef f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    line = caught(lambda: make({"_target_": "mistyped.Net"}, "model"))
    assert line == "error in your code: mistyped.py:2 in <module>"


@pytest.mark.parametrize(("model", "line"), [("WrongConstructor", "29 in __init__"), ("WrongForward", "36 in forward")])
def test_a_command_with_a_defect_ends_with_1_and_its_traceback(digits, project, capsys, model, line):
    (project / "conf/model").mkdir(parents=True)
    sizes = "input_shape: ${data.shape}\nnum_outputs: ${data.num_classes}\n"
    (project / "conf/model/mine.yaml").write_text(f"_target_: tests.config.mylab.{model}\n{sizes}")
    prepared = f"paths.prepared={digits[1].folder.parent}"
    command = ["--config-dir=conf", "model=mine", prepared, "trainer.accelerator=cpu"]
    assert command_line.guard(lambda: train(command_line.configure(command))) == 1
    error = capsys.readouterr().err
    assert error.startswith("error in your code: ")
    assert f"mylab.py:{line}\nTraceback (most recent call last)" in error
    assert not list(project.glob("runs/*"))
