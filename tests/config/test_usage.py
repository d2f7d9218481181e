"""--help of every command, and flags that none has."""

import subprocess
import sys

import pytest

from src.config import usage
from src.errors import InputError
from tests.repository import ROOT, environment, run

SHOWN = {
    "src.train": ["python -m src.train -m +experiment=cnn", "random_forest", "fashion_mnist", "  lr: 0.001", "75 preempted"],
    "src.find_lr": ["A learning rate to begin with", "limit: 4.0           # the search ends where", "  lr: 0.001"],
    "src.prepare": ["The prepared data of an experiment", "fashion_mnist"],
    "src.doctor": ["What would stop a training on this machine", "accelerator: auto"],
    "src.evaluate": ["Evaluates a run again", "split=test ", "explanation=, robustness="],
    "src.predict": ["Answers of a trained run", "output=FILE", "costs no other answer"],
    "src.generate": ["How a trained language model goes on", "temperature=0.8 ", "stop=TEXT"],
    "pipelines.sweep": ["An Optuna search", "n_trials: 20           # finished trials in all", "sweep/sampler: cmaes"],
    "pipelines.sync": ["Uploads every record", "uri="],
    "pipelines.compose": ["The compose stage"],
    "pipelines.stage": ["One stage of one experiment", "prepare, sweep, train and evaluate"],
    "pipelines.report": ["The report stage"],
    "pipelines.ui": ["The MLflow UI", "port=5000"],
    "pipelines.gallery": ["measure NAME"],
}


@pytest.mark.parametrize("module", SHOWN)
def test_help(module, tmp_path):
    text = run(tmp_path, "python", "-m", module, "--help", PYTHONPATH=str(ROOT)).stdout
    for expected in SHOWN[module]:
        assert expected in text
    assert "Exit codes: 0 done" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_help_shows_what_the_command_line_chooses(tmp_path):
    text = run(
        tmp_path,
        "python",
        "-m",
        "pipelines.sweep",
        "+experiment=cnn",
        "+sweep=cnn",
        "model.width=48",
        "-h",
        PYTHONPATH=str(ROOT),
    ).stdout
    assert "_target_: src.models.cnn.CNN" in text
    assert "width: 48" in text


@pytest.mark.slow
def test_unknown_flags_are_refused(tmp_path):
    for module in ("src.train", "src.find_lr", "pipelines.sweep"):
        refused = run(tmp_path, "python", "-m", module, "--experiment", "cnn", code=2, PYTHONPATH=str(ROOT)).stderr
        assert refused.startswith("error: --experiment: expected key=value or a flag, one of -h, --help"), module
        assert refused.endswith("Write +experiment=...\n"), module
    with pytest.raises(InputError, match=r"--optimizer.lr=1: .* Write optimizer.lr=..."):
        usage.flags(["--optimizer.lr=1"])
    with pytest.raises(InputError, match=r"-m: expected key=value or a flag"):
        usage.flags(["-m"], grid=False)
    assert usage.flags(["-cjob", "--cfg=job", "-m", "--config-dir=x", "seed=-1"]) == ["-cjob", "--cfg=job", "-m"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("src.train", "--help"), ("src.train", "--cfg", "job"), ("src.evaluate", "--help")])
def test_a_reader_that_leaves(arguments, tmp_path):
    command = [sys.executable, "-m", *arguments]
    where = {"cwd": tmp_path, "env": environment(PYTHONPATH=str(ROOT)), "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **where) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
