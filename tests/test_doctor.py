"""What the doctor finds, and how it reports it."""

import re
import socket
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch

from src.errors import InputError
from src.launch import diagnosis
from tests.repository import ROOT, run

ONE = {"devices": 1, "num_nodes": 1}
MOUNTS = {"/": "ext4", "/home": "nfs4", "/home/me/scratch": "xfs"}


@pytest.mark.cluster
def test_a_healthy_machine(project):
    printed = run(project, "python", "-m", "src.doctor", PYTHONPATH=str(ROOT)).stdout
    assert {line.split()[0] for line in printed.splitlines()} <= {"ok", "warning"}
    assert "2 processes added their numbers up" in printed
    assert re.search(r"^ok +torchvision +\d", printed, re.MULTILINE)
    assert not list(project.iterdir())  # it leaves nothing behind


@pytest.mark.cluster
def test_what_keeps_a_run_from_its_end_ends_it_with_1(project):
    done = run(project, "python", "-m", "src.doctor", "paths.runs=/dev/null/runs", code=1, PYTHONPATH=str(ROOT))
    assert "paths.runs       /dev/null/runs cannot be written" in done.stdout
    assert "1 of 9 checks found one: paths.runs." in done.stderr


@pytest.mark.cluster
def test_processes_that_cannot_connect(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere0")
    (finding,) = diagnosis.collectives()
    assert finding.state == "error"
    assert "GLOO_SOCKET_IFNAME" in finding.text


@pytest.mark.cluster
def test_no_other_process_gets_the_port_of_their_store(monkeypatch):
    """One that asks for it between the choice and the connection, as on a busy machine."""
    start, held = subprocess.Popen, []

    def after_another(command, *, env, **settings):
        other = socket.socket()
        with suppress(OSError):
            other.bind(("127.0.0.1", int(env["MASTER_PORT"])))
            other.listen()
        held.append(other)
        return start(command, env=env, **settings)

    monkeypatch.setattr(subprocess, "Popen", after_another)
    (finding,) = diagnosis.collectives()
    assert finding.state == "ok", finding.text
    assert len(held) == 2
    for other in held:
        other.close()


def test_versions():
    installed = torch.__version__.partition("+")[0]
    lock = ["# all", f"torch=={installed}", "pandas>=0", "no-such-package==1.0 ; os_name == 'x' \\", "    --hash=sha256:0"]
    assert diagnosis.versions(lock).state == "ok"
    finding = diagnosis.versions([f"torch=={installed}", "numpy==0.0.1 \\", "    --hash=sha256:0"])
    assert finding.state == "warning"
    assert "instead of 0.0.1" in finding.text
    assert "make -B .venv/ready" in finding.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="here torch can use a GPU")
def test_a_gpu_that_torch_cannot_use():
    two = [Path("/dev/nvidia0"), Path("/dev/nvidia1")]
    assert diagnosis.gpu([], "auto", {}).state == "ok"
    assert diagnosis.gpu(two, "cpu", {}).state == "ok"
    assert diagnosis.gpu(two, "auto", {"CUDA_VISIBLE_DEVICES": ""}).state == "ok"
    assert diagnosis.gpu(two, "auto", {}).state == "warning"  # such a run computes on the processor
    finding = diagnosis.gpu(two, "gpu", {})
    assert finding.state == "error"
    assert finding.text.startswith("2 that torch cannot use")


def test_folders(tmp_path):
    assert diagnosis.folder("paths.runs", tmp_path / "not/there/yet").state == "ok"
    assert not list(tmp_path.iterdir())
    finding = diagnosis.folder("paths.runs", tmp_path, needed=10**18)
    assert finding.state == "warning"
    assert "Make room" in finding.text
    (tmp_path / "file").touch()
    assert diagnosis.folder("paths.runs", tmp_path / "file" / "runs").state == "error"


def test_the_tracking_store(project):
    assert diagnosis.tracking(None, MOUNTS).state == "ok"
    assert diagnosis.tracking("http://127.0.0.1:9", MOUNTS).state == "warning"
    finding = diagnosis.tracking("sqlite:////home/me/mlflow.db", MOUNTS)
    assert finding.state == "error"
    assert "lies on nfs4" in finding.text
    assert diagnosis.tracking("sqlite:////home/me/scratch/mlflow.db", MOUNTS).state == "ok"
    with closing(sqlite3.connect(project / "old.db")) as database:
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('0000')")
        database.commit()
    finding = diagnosis.tracking(f"sqlite:///{project}/old.db", MOUNTS)
    assert finding.state == "error"
    assert "expected the tracking schema" in finding.text


@pytest.mark.parametrize(
    ("environment", "trainer", "expected"),
    [
        ({}, ONE, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}, ONE, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, ONE, "each would start a training of its own"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_JOB_NUM_NODES": "2"}, ONE, "asks for trainer.num_nodes=1"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_JOB_NUM_NODES": "2"}, {"devices": 2, "num_nodes": 2}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "WORLD_SIZE": "4"}, ONE, None),
    ],
)
def test_a_job_of_slurm(environment, trainer, expected):
    finding = diagnosis.slurm(environment, trainer)
    assert finding.state == ("error" if expected else "ok")
    assert (expected or "") in finding.text


def test_a_number_of_processes_that_is_none():
    with pytest.raises(InputError, match=r"trainer\.devices: expected a number from 1"):
        diagnosis.slurm({}, {"devices": "auto", "num_nodes": 1})
