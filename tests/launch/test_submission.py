"""What a submission contains, and what is refused before anything is written. No SLURM is needed."""

import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipelines.sweep.setup import Setup
from src.config import command_line, trust
from src.errors import InputError
from src.launch import cluster, slurm, submission
from src.launch.cluster import agreed
from src.launch.slurm import Slurm
from src.launch.submission import Submission
from src.runs import identity
from src.runs.folder import CONFIG_KEYS, Run
from src.train import launch

SUBMITTED = ("+experiment=cnn", "cluster=slurm")
DDP = (*SUBMITTED, "trainer=ddp")


@pytest.mark.parametrize(
    ("overrides", "nodes", "processes"),
    [
        (SUBMITTED, 1, 1),
        (DDP, 1, 2),
        ((*DDP, "cluster.nodes=2", "cluster.processes_per_node=4"), 2, 4),
        ((*DDP, "trainer.num_nodes=3", "trainer.devices=1"), 3, 1),
        ((*DDP, "trainer.num_nodes=3", "cluster.nodes=3"), 3, 2),
        (("+experiment=random_forest", "cluster=slurm"), 1, 1),
    ],
)
def test_the_cluster_and_the_trainer_agree(overrides, nodes, processes):
    config = agreed(command_line.configure(overrides))
    slurm_ = cluster.of(config)
    assert (slurm_.nodes, slurm_.processes_per_node) == (nodes, processes)
    if "trainer=ddp" in overrides:
        assert (config.trainer.num_nodes, config.trainer.devices) == (nodes, processes)


def test_one_process_here_is_what_ddp_without_a_cluster_says():
    config = command_line.configure(["+experiment=cnn", "trainer=ddp"])
    assert (config.cluster, config.trainer.num_nodes, config.trainer.devices) == (None, 1, 2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((*SUBMITTED, "cluster.nodes=2"), r"cluster\.nodes=2: expected 1, because trainer\.num_nodes is 1.*need trainer=ddp"),
        ((*DDP, "cluster.nodes=2", "trainer.num_nodes=1"), r"cluster\.nodes=2: expected 1"),
        ((*DDP, "cluster.nodes=2", "trainer.num_nodes=3"), r"cluster\.nodes=2: expected 3"),
        ((*DDP, "trainer.devices=2", "cluster.processes_per_node=4"), r"cluster\.processes_per_node=4: expected 2"),
        ((*SUBMITTED, "trainer.precision=auto"), r"trainer\.precision=auto: expected a stated precision"),
        ((*SUBMITTED, "cluster.warning=0"), r"cluster\.warning: expected a whole number from 1; received 0"),
        ((*SUBMITTED, "cluster.gpus_per_node=two"), r"cluster\.gpus_per_node: expected a whole number from 0, or null"),
        (
            (*SUBMITTED, "cluster.options={requeue: false}"),
            r"options\.requeue: expected a long option of sbatch without its dashes",
        ),
        ((*SUBMITTED, "cluster.options={--account: x}"), r"options\.--account: expected a long option"),
    ],
)
def test_what_is_refused_writes_nothing(project, overrides, message):
    with pytest.raises(InputError, match=message):
        launch(command_line.configure(overrides))
    assert list(project.iterdir()) == []


def test_a_machine_without_slurm(project, monkeypatch):
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(InputError, match=r"expected SLURM's sbatch on the PATH; there is none.*leave cluster=slurm out"):
        launch(command_line.configure(SUBMITTED))
    assert list(project.iterdir()) == []


@pytest.mark.slow
def test_a_search_stays_where_it_is_started(project):
    with pytest.raises(InputError, match="cluster: expected a search without one"):
        Setup.of(["+experiment=cnn", "+sweep=cnn", "cluster=slurm"])
    assert list(project.iterdir()) == []


def test_a_run_to_be_trained_further_can_go_to_a_cluster(tmp_path):
    whole = dict.fromkeys(CONFIG_KEYS)
    OmegaConf.save({**whole, "name": "cnn", "seed": 0, "trainer": {"max_epochs": 3}, "resume": None}, tmp_path / "config.yaml")
    config = command_line.configure([f"resume={tmp_path}", "trainer.max_epochs=5", "cluster=slurm", "cluster.partition=gpu"])
    assert (config.trainer.max_epochs, config.cluster.partition, config.resume) == (5, "gpu", str(tmp_path))


def test_where_a_run_is_trained_is_not_part_of_it():
    here = OmegaConf.to_container(command_line.configure(["+experiment=cnn", "trainer=ddp"]), resolve=True)
    there = OmegaConf.to_container(agreed(command_line.configure([*DDP, "cluster.time=60"])), resolve=True)
    assert identity.training_part(here) == identity.training_part(there)


def test_the_script_states_what_the_configuration_asks_for(project):
    submitter = Slurm(
        nodes=2,
        processes_per_node=4,
        cpus_per_process=6,
        gpus_per_node=4,
        memory="64G",
        time="1-12:00:00",
        options={"account": "a b", "exclusive": True, "qos": None},
    )
    folder = project / "it's 50%" / "cnn-1a2b3c4d"
    text = submitter.script(folder, name="cnn-1a2b3c4d")
    head = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    assert {"nodes=2", "ntasks-per-node=4", "cpus-per-task=6", "gpus-per-node=4", "mem=64G", "exclusive"} <= {*head}
    assert {"time=1-12:00:00", "account='a b'", "signal=USR1@120", "requeue", "open-mode=append"} <= {*head}
    assert not any(line.startswith(("partition", "qos")) for line in head)
    assert "50%%" in next(line for line in head if line.startswith("output="))
    assert "export OMP_NUM_THREADS=6" in text
    shown = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    asked = text.partition("cd ")[0] + '\nprintf %s "$folder"'
    assert subprocess.run(["bash", "-c", asked], text=True, capture_output=True, check=True).stdout == str(folder)


def test_a_process_of_a_job_knows_which_one_it_is():
    variables = slurm.torch_environment({"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NTASKS": "4"})
    assert {"RANK": "3", "LOCAL_RANK": "1", "NODE_RANK": "1", "WORLD_SIZE": "4"}.items() <= variables.items()


def test_code_that_is_more_than_code_is_not_frozen(project, monkeypatch):
    monkeypatch.setattr(submission, "LARGEST", 1000)
    run = Run(Path("runs/cnn-1a2b3c4d"))
    with pytest.raises(InputError, match=r"expected at most 0 MiB of code .* is the largest file\. What \.gitignore lists"):
        Submission(run).freeze(command_line.configure(SUBMITTED), test=True)
    assert list(project.iterdir()) == []


def test_code_without_a_repository_is_frozen_too(project, monkeypatch):
    for name in ("src/a.py", "src/__pycache__/a.pyc", "conf/train.yaml", "data/large.bin"):
        (project / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "code" / name).write_text(name)
    monkeypatch.setattr(submission, "ROOT", project / "code")
    (project / "lab/mine_on_a_cluster").mkdir(parents=True)
    (project / "lab/mine_on_a_cluster/nets.py").write_text("from mine_on_a_cluster import blocks\n")
    (project / "lab/mine_on_a_cluster/blocks.py").write_text("")
    monkeypatch.syspath_prepend(project / "lab")
    frozen_run = Submission(Run(project / "runs/cnn-1a2b3c4d"))
    frozen_run.freeze(command_line.configure([*SUBMITTED, "model._target_=mine_on_a_cluster.nets.Net"]), test=False)
    frozen = {str(path.relative_to(frozen_run.code)) for path in frozen_run.code.rglob("*") if path.is_file()}
    own = {"mine_on_a_cluster/nets.py", "mine_on_a_cluster/blocks.py"}  # what the user's network imports is frozen with it
    assert frozen == {"src/a.py", "conf/train.yaml", *own}
    config, test, _ = frozen_run.load()
    assert (config.name, test) == ("cnn", False)


def test_a_job_trusts_what_the_command_that_submits_it_trusts(project, monkeypatch):
    monkeypatch.setattr(submission, "_files", lambda *_: [])
    granted = {}
    for value in ("false", "true"):
        submitted = Submission(Run(project / "runs" / value))
        with trust.command():
            submitted.freeze(command_line.configure([*SUBMITTED, f"trust={value}"]), test=True)
        with trust.command():
            submitted.load()
            granted[value] = trust.granted()
    assert granted == {"false": False, "true": True}
