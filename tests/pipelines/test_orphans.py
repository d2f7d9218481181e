"""A `dvc repro` that is killed in the middle of a training, and started again immediately."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests import chaos
from tests.repository import clone, environment, run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SMALL = """# @package _global_
# A network that takes seconds to train.
defaults:
  - override /model: cnn
  - override /scheduler: one_cycle
name: small
model: {width: 4}
trainer: {max_epochs: 20, save_every_n_steps: 100}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = clone(tmp_path / "clone")
    (folder / "conf/experiment/small.yaml").write_text(SMALL)
    (folder / "params.yaml").write_text(yaml.safe_dump({"experiments": ["small"], "sweeps": {}}))
    return folder


def stages(folder: Path) -> list[psutil.Process]:
    """The living stages of a folder's pipelines."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and "pipelines.stage" in process.cmdline():
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def test_a_pipeline_that_is_killed_leaves_no_training_beside_the_next_one(project, tmp_path):
    staying = tmp_path / "staying"  # a shell that lives as long as its command, between dvc and the stage
    staying.write_text('#!/bin/sh\nshift $(($# - 1))\n/bin/sh -c "$1"\nexit $?\n')
    staying.chmod(0o755)
    whole, single = ["dvc", "repro", "train@small"], ["dvc", "repro", "--single-item", "--force", "train@small"]
    outcomes = []
    for shell, command in (("/bin/sh", whole), (str(staying), single)):
        first = subprocess.Popen(command, cwd=project, env=environment(SHELL=shell), stdout=subprocess.DEVNULL)
        while not list(project.glob("runs/*/last.ckpt")):
            assert first.poll() is None
            time.sleep(0.02)
        (orphan,) = [stage for stage in stages(project) if "train" in stage.cmdline()]
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        run(project, *command, SHELL=shell)
        assert not orphan.is_running()
        assert stages(project) == []
        outcomes.append(chaos.outcome_of_training(chaos.run(project)))
        chaos.check_store(project)
        (project / "runs").rename(tmp_path / f"killed-{len(outcomes)}")
    run(project, *single)
    assert outcomes == 2 * [chaos.outcome_of_training(chaos.run(project))]
