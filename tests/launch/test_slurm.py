"""A run as a job of a real SLURM of two nodes: submitted once, interrupted in every way, with an undisturbed run's result."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from src.runs.folder import Run
from tests.launch import ends_alike
from tests.records import whole_store
from tests.repository import ROOT, clone, environment, repro, run
from tests.slurm import ask, cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
NET = ("+experiment=cnn", "trainer=ddp", "trainer.accelerator=cpu", "model.width=4", "trainer.steps_per_call=4")
LONG = (*NET, "trainer.max_epochs=30", "trainer.save_every_n_minutes=0.0")
SLOW = "+callbacks.slow._target_=tests.ranks.Slow"
NODES = ("cluster=slurm", "cluster.nodes=2", "cluster.processes_per_node=1")
ONE = ("+experiment=fnn", "trainer.max_epochs=1", "trainer.accelerator=cpu", "cluster=slurm")


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    with cluster() as environment:
        yield {**environment, "OMP_NUM_THREADS": "1"}


def train(folder: Path, slurm: dict[str, str], *arguments: str, code: int = 0) -> str:
    """What a training command says."""
    folder.mkdir(exist_ok=True)
    done = run(folder, sys.executable, "-m", "src.train", *arguments, code=code, PYTHONPATH=str(ROOT), **slurm)
    return done.stdout + done.stderr


def the_run(folder: Path) -> Run:
    (recorded,) = (folder / "runs").glob("[!.]*")
    return Run(recorded)


def job(folder: Path) -> str:
    return json.loads((the_run(folder).folder / "submission/job.json").read_text())["id"]


def log(folder: Path) -> str:
    path = the_run(folder).folder / "job.log"
    return path.read_text() if path.is_file() else ""


def facts(slurm: dict[str, str], number: str) -> dict[str, str]:
    """What the controller knows of a job."""
    return dict(word.partition("=")[::2] for word in ask(slurm, "scontrol", "show", "job", "-o", number).split())


def until(condition: Callable[[], object], folder: Path) -> None:
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end, log(folder)
        time.sleep(0.1)


def reached(folder: Path, attempt: int) -> Callable[[], bool]:
    """Whether a job has saved something in this attempt."""

    def condition() -> bool:
        last = the_run(folder).last
        attempts = re.findall(r"attempt \d+, (.+)", log(folder))
        if len(attempts) < attempt or not last.is_file():
            return False
        return last.stat().st_mtime > time.mktime(time.strptime(attempts[attempt - 1], "%Y-%m-%d %H:%M:%S")) + 1

    return condition


def over(slurm: dict[str, str], number: str) -> Callable[[], bool]:
    return lambda: ask(slurm, "squeue", "-h", "-t", "all", "-j", number, "-o", "%t") in ("CD", "F", "CA", "TO", "NF")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Run:
    """The run of a command that trains it here, in two processes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder, {"OMP_NUM_THREADS": "1"}, *LONG, SLOW)
    return the_run(folder)


def test_whoever_requeues_a_job_it_ends_as_if_undisturbed(slurm, undisturbed, tmp_path):
    """SLURM does at `scontrol requeue`, the job's script after a warning, and neither does what the other has done."""
    printed = train(tmp_path, slurm, *LONG, SLOW, *NODES)
    number = job(tmp_path)
    assert f"job {number}: runs/{the_run(tmp_path).folder.name}, 2 nodes, 2 processes." in printed
    until(reached(tmp_path, 1), tmp_path)
    ask(slurm, "scontrol", "requeue", number)
    until(reached(tmp_path, 2), tmp_path)
    ask(slurm, "scancel", "--signal=USR1", number)  # as SLURM does before the end of the time
    train(tmp_path, slurm, *LONG, SLOW, *NODES, "cluster.wait=true")
    assert facts(slurm, number)["Restarts"] == "2"
    assert facts(slurm, number)["JobState"] == "COMPLETED"
    assert re.findall(r"attempt (\d)", log(tmp_path)) == ["1", "2", "3"]
    assert log(tmp_path).count(f"job {number} is queued again") == 1
    assert ends_alike(the_run(tmp_path), undisturbed)
    client = whole_store(tmp_path)
    (recorded,) = client.search_runs([client.get_experiment_by_name("athanor").experiment_id])
    assert recorded.info.status == "FINISHED"
    assert {f"system/node{number}/cpu_utilization_percentage" for number in (1, 2)} <= {*recorded.data.metrics}
    assert "job.log" in {file.path for file in client.list_artifacts(recorded.info.run_id)}
    assert "This run exists" in train(tmp_path, slurm, *LONG, SLOW, *NODES)
    assert not (the_run(tmp_path).folder / "submission/code").exists()


def test_a_job_that_is_cancelled_stays_so_until_the_same_command(slurm, undisturbed, tmp_path):
    train(tmp_path, slurm, *LONG, SLOW, *NODES)
    number = job(tmp_path)
    printed = train(tmp_path, slurm, *LONG, SLOW, *NODES, code=3)
    assert f"is the run of job {number}, which is " in printed
    until(reached(tmp_path, 1), tmp_path)
    ask(slurm, "scancel", number)
    until(over(slurm, number), tmp_path)
    assert facts(slurm, number)["JobState"] == "CANCELLED"
    assert facts(slurm, number)["Restarts"] == "0"
    record = json.loads(the_run(tmp_path).record.read_text())
    assert (record["status"], record["tags"]["end"], record["tags"]["end.reason"]) == ("KILLED", "PREEMPTED", "SIGTERM")

    command = (sys.executable, "-m", "src.train", *LONG, SLOW, *NODES, "cluster.max_requeues=0", "cluster.wait=true")
    variables, pipe = environment(PYTHONPATH=str(ROOT), **slurm), subprocess.PIPE
    waiting = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    until(reached(tmp_path, 2), tmp_path)
    number = job(tmp_path)
    ask(slurm, "scancel", "--signal=USR1", number)
    printed, _ = waiting.communicate()
    assert waiting.returncode == 75, printed
    assert f"job {number} is not queued again: cluster.max_requeues=0" in printed
    assert f"job {number} ended with code 75" in printed

    printed = train(tmp_path, slurm, *LONG, SLOW, *NODES, "cluster.wait=true")
    assert job(tmp_path) != number
    assert f"run: runs/{the_run(tmp_path).folder.name}" in printed
    assert ends_alike(the_run(tmp_path), undisturbed)


def test_a_job_is_queued_again_at_the_end_of_its_time(slurm, undisturbed, tmp_path):
    """Its first attempt would last 300 seconds, and has 120."""
    slow = (*LONG, SLOW, "+callbacks.slow.seconds=10.0", "+callbacks.slow.attempts=1", *NODES)
    train(tmp_path, slurm, *slow, "cluster.time=2", "cluster.warning=40")
    number = job(tmp_path)
    again = f"job {number} is queued again, 1 of at most 20 times"
    until(lambda: again in log(tmp_path), tmp_path)
    ask(slurm, "scontrol", "update", f"JobId={number}", "TimeLimit=60")  # so that it has only one end of its time
    train(tmp_path, slurm, *slow, "cluster.wait=true")
    assert log(tmp_path).count("SIGUSR1: saving before the next block of steps.") == 1
    assert facts(slurm, number)["Restarts"] == "1"
    assert ends_alike(the_run(tmp_path), undisturbed)


def test_what_is_edited_after_the_submission_changes_nothing(slurm, tmp_path):
    folder = clone(tmp_path / "a clone")
    model = folder / "src/models/fnn.py"
    model.write_text(model.read_text() + "\nSUBMITTED = True\n")
    run(folder, "git", "commit", "-qam", "state", GIT_AUTHOR_NAME="t", GIT_COMMITTER_NAME="t", EMAIL="t@t.invalid")
    commit = run(folder, "git", "rev-parse", "HEAD").stdout.strip()
    (folder / "src/note.py").write_text("NEW = True\n")  # git does not know of it yet
    model.write_text(model.read_text() + "\nNOT_COMMITTED = True\n")
    command = (sys.executable, "-m", "src.train", *ONE)
    run(folder, *command, "cluster.options={hold: true}", **slurm)
    number = job(folder)
    with subprocess.Popen(
        [*command, "cluster.wait=true"],
        cwd=folder,
        env=environment(**slurm, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        try:
            assert waiting.stdout is not None
            assert waiting.stdout.readline() == f"job {number} trains runs/{the_run(folder).folder.name} already.\n"
            (the_run(folder).folder / "job.log").write_text("a word of the job\n")
            assert waiting.stdout.readline() == "a word of the job\n"  # it follows
            waiting.terminate()
            assert f"job {number} goes on." in waiting.communicate()[1]
        finally:
            waiting.kill()  # else a failed assertion would wait for it
    assert waiting.returncode == 75
    assert facts(slurm, number)["JobState"] == "PENDING"
    frozen = the_run(folder).folder / "submission/code"
    assert (frozen / "src/note.py").is_file()
    model.write_text("raise SystemExit('this code was never submitted')\n")
    (folder / "src/train.py").unlink()
    run(folder, "git", "commit", "-qam", "later", GIT_AUTHOR_NAME="t", GIT_COMMITTER_NAME="t", EMAIL="t@t.invalid")
    ask(slurm, "scontrol", "release", number)
    until(over(slurm, number), folder)
    recorded = the_run(folder)
    assert recorded.evaluated, log(folder)
    tags = json.loads(recorded.record.read_text())["tags"]
    assert (tags["mlflow.source.git.commit"], tags["git.dirty"]) == (commit, "true")
    assert "+NOT_COMMITTED = True" in (recorded.folder / "uncommitted.diff").read_text()


def test_what_sbatch_refuses_leaves_nothing_behind(slurm, tmp_path):
    printed = train(tmp_path, slurm, *ONE, "cluster.partition=nowhere", code=2)
    assert "error: cluster=slurm: sbatch refuses the job: invalid partition specified: nowhere" in printed
    assert list((tmp_path / "runs").glob("*")) == []


def test_a_stage_of_the_pipeline_goes_to_the_cluster(slurm, tmp_path, monkeypatch):
    folder = clone(tmp_path / "a clone")
    (folder / "params.yaml").write_text("experiments: [most_frequent]\nsweeps: {}\ncluster: slurm\n")
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    repro(folder, "train@most_frequent")
    assert f"run: runs/{the_run(folder).folder.name}" in log(folder)
    assert (folder / "results/most_frequent/model/metrics.json").is_file()
    (folder / "params.yaml").write_text("experiments: [most_frequent]\nsweeps: {}\n")
    assert repro(folder, "train@most_frequent") == set()
