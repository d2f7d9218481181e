"""Every key of a configuration is known, whoever sets it, and each value lies in its range, before anything heavy loads."""

import inspect
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from src.config import checks, command_line, composition, resuming, schema, validation
from src.config.composition import compose, resolve
from src.errors import InputError
from tests.config.refusals import refused
from tests.repository import ROOT, run

HEAD = "# @package _global_\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modle: {width: 8}", ["sets modle", "nearest: model"]),
        ("trainr: {max_epochs: 3}", ["sets trainr", "nearest: trainer"]),
        ("sedd: 3", ["sets sedd", "nearest: seed"]),
        ("max_epochs: 3", ["sets max_epochs", "there is no such key"]),
        ("tracking: {urii: here}", ["sets tracking.urii", "nearest: tracking.uri"]),
        ("paths: {run: here}", ["sets paths.run", "nearest: paths.runs"]),
        ("objective: {metrics: val/loss}", ["sets objective.metrics", "nearest: objective.metric"]),
        ("data: {dataset: {splits: {val: 3}}}", ["sets data.dataset.splits", "nearest: data.dataset.split"]),
        ("data: {dataset: {split: {tset: 3}}}", ["sets data.dataset.split.tset", "nearest: data.dataset.split.test"]),
        ("trainer: {max_epoch: 3}", ["sets trainer.max_epoch", "nearest: trainer.max_epochs"]),
        ("trainer: {max_epochs: -1}", ["sets trainer.max_epochs: expected a whole number from 1, or null; received -1"]),
        ("scheduler: {pct_start: 0.3}", ["sets scheduler.pct_start: expected scheduler with a _target_"]),
        ("- a\n- list", ["expected keys with values", "received a list"]),
        ("", ["expected the keys of an experiment; the file has none"]),
    ],
)
def test_a_wrong_key_or_value_of_an_experiment_names_its_file(tmp_path, text, expected):
    path = write(tmp_path, "experiment/mine.yaml", f"{HEAD}{text}\n")
    message = refused("+experiment=mine", extra=[tmp_path])
    assert message.startswith(str(path))
    for part in expected:
        assert part in message


@pytest.mark.parametrize("text", ["seed: 3", "- a\n- list"])
def test_an_experiment_without_its_package_line_is_refused(tmp_path, text):
    write(tmp_path, "experiment/mine.yaml", f"{text}\n")
    assert "begin with the line '# @package _global_'" in refused("+experiment=mine", extra=[tmp_path])


@pytest.mark.parametrize(
    ("name", "text", "override", "expected"),
    [
        ("local/default.yaml", f"{HEAD}trackin: {{wait: 3}}", "seed=0", "sets trackin: .*nearest: tracking"),
        ("debug/mine.yaml", f"{HEAD}trainr: {{max_epochs: 3}}", "+debug=mine", "sets trainr: .*nearest: trainer"),
        (
            "task/mine.yaml",
            f"{HEAD}defaults: [classification]\nobjectiv: 3",
            "task=mine",
            "sets objectiv: .*nearest: objective",
        ),
        (
            "sweep/mine.yaml",
            "defaults: [default]\nn_trails: 3",
            "+sweep=mine",
            "sets sweep.n_trails: .*nearest: sweep.n_trials",
        ),
        ("sweep/mine.yaml", "space: {}", "+sweep=mine", r"sweep\.sampler: expected a group of keys; it is missing"),
        (
            "tracking/mine.yaml",
            "uri: null\nexperiment: a\nwait: -1",
            "tracking=mine",
            "sets tracking.wait: .*from 0; received -1",
        ),
        ("optimizer/mine.yaml", "lr: 1", "optimizer=mine", "sets optimizer.lr: expected optimizer with a _target_"),
        ("trainer/mine.yaml", "defaults: [default]\nfoo: 1", "trainer=mine", "sets trainer.foo: there is no such key"),
        ("experiment/mine.yaml", f"{HEAD}defaults: [base]\n", "+experiment=mine", "base.yaml sets sedd: .*nearest: seed"),
    ],
)
def test_a_wrong_key_of_any_other_file_names_it_too(tmp_path, name, text, override, expected):
    write(tmp_path, "experiment/base.yaml", f"{HEAD}sedd: 3\n")
    write(tmp_path, name, f"{text}\n")
    with pytest.raises(InputError, match=expected):
        compose([override], extra=[tmp_path])


@pytest.mark.slow
def test_a_wrong_key_of_a_tuned_file_names_it(project):
    path = write(project, "tuned/scratch.yaml", "nodes: {trainr.max_epochs: 3}\n")
    with pytest.raises(InputError, match=rf"^{path.relative_to(project)} sets trainr: .*nearest: trainer"):
        command_line.configure(["tuned=true"])
    path.write_text("nodes: {trainer.max_epochs: 0}\n")
    with pytest.raises(InputError, match=r"sets trainer\.max_epochs: expected a whole number from 1"):
        command_line.configure(["tuned=true"])
    path.write_text("node: 3\n")
    with pytest.raises(
        InputError, match=r"expected a group of keys, nodes; received none. Delete it; `python -m pipelines.sweep"
    ):
        command_line.configure(["tuned=true"])


@pytest.mark.slow
def test_a_key_of_ones_own_that_is_read_is_kept(tmp_path):
    write(tmp_path, "experiment/mine.yaml", f"{HEAD}my_width: 24\nmodel: {{hidden: ['${{my_width}}', '${{my_width}}']}}\n")
    config = compose(["+experiment=mine"], extra=[tmp_path])
    assert resolve(config).model.hidden == [24, 24]
    assert compose(["+mine=0.3", "model.dropout=${mine}"]).model.dropout == 0.3
    write(tmp_path, "lab/here.yaml", "name: ours\n")
    assert compose(["+lab=here"], extra=[tmp_path]).lab.name == "ours"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("+modle.width=3", "modle: expected a key that something reads.*nearest: model"),
        ("+trainer.foo=3", r"trainer\.foo: there is no such key"),
        ("+tracking.urii=x", r"tracking\.urii: .*nearest: tracking\.uri"),
        ("+callbacks.early.patience=3", r"callbacks\.early\.patience: expected callbacks\.early with a _target_"),
        ("+scheduler.T_max=3", r"scheduler\.T_max: expected scheduler with a _target_"),
        ("~paths.runs", r"paths\.runs: expected text that is not empty; it is missing"),
        ("~objective.mode", r"objective\.mode: expected one of min, max; it is missing"),
        ("objective=null", "objective: expected a group of keys; received null"),
        ("data.dataset.split=null", r"data\.dataset\.split: expected a group of keys; received null"),
        ("objective.mode=up", "expected one of min, max; received up"),
        ("seed=1.5", "expected a whole number from 0 up to 4294967295; received 1.5"),
        ("seed=-1", "received -1"),
        ("name=''", "expected a name of 1 to 100 letters"),
        (f"name={'x' * 300}", r"expected a name of 1 to 100 letters, .*; received x+\.\.\. \(300 characters\)"),
        ("data.batch_size=2.5", "expected a whole number from 1; received 2.5"),
        ("data.batch_size=inf", "expected a whole number from 1; received inf"),
        ("data.batch_size=0", "received 0"),
        ("data.dataset.split.val=nan", "number from 0 up to but not including 1; received nan"),
        ("data.dataset.split.test=null", "received null"),
        ("data.dataset.split.test=-3", "received -3"),
        ("data.dataset.max_duplicates=2", "expected a number from 0 up to 1; received 2"),
        ("optimizer.lr=nan", "expected a number from 0; received nan"),
        ("optimizer.lr=-1e-3", "received -0.001"),
        ("optimizer=adam_adversarial optimizer.betas=[0.5,1.5]", r"received \[0.5, 1.5\]"),
        ("scheduler=cosine scheduler.T_max=0", "expected a whole number from 1, or null; received 0"),
        ("scheduler=step scheduler.step_size=0", "received 0"),
        ("task.rates={features:0}", "expected a group of keys, each a number above 0, or null"),
        ("+evaluation.headline={a:best}", "expected a group of keys, each one of min, max, or null"),
        ("tracking.wait=-1", "expected a number from 0; received -1"),
        ("trainer.max_epochs=-1", "expected a whole number from 1, or null; received -1"),
        ("trainer.max_epochs=inf", "received inf"),
        ("trainer.max_epochs=2.0", "received 2.0"),
        ("trainer.max_steps=-2", "expected -1, or a whole number from 1; received -2"),
        ("trainer.accelerator=foo", "expected one of auto, cpu, gpu"),
        ("trainer.precision=foo", "expected one of auto, 32-true"),
        ("trainer.compile=fast", "expected one of default, reduce-overhead"),
        ("trainer.devices=auto", "expected a whole number from 1; received auto"),
        ("trainer.in_memory_gib=inf", "expected a number from 0; received inf"),
        ("trainer.limit_batches=[1,2]", "expected a whole number from 1, or null"),
        ("trainer.overfit_batches=-1", "expected a whole number from 0"),
        ("+sweep=fnn sweep.keep=-1", r"sweep\.keep: expected a whole number from 0; received -1"),
        ("+sweep=fnn sweep.n_trials=0", "received 0"),
        ("+sweep=fnn sweep.grace_period=0", "expected a number above 0"),
        ("+finder=default finder.steps=1.5", "expected a whole number from 1; received 1.5"),
    ],
)
def test_a_wrong_key_or_value(overrides, expected):
    """The values are set on a configuration that was composed before: this takes no time, and the check is the same."""
    *groups, last = overrides.split(" ")
    config = base(*groups).copy()
    (override,) = composition.parse([last])
    key = override.get_key_element().lstrip("+~")
    if override.is_delete():
        parent, _, name = key.rpartition(".")
        del OmegaConf.select(config, parent)[name]
    else:
        OmegaConf.update(config, key, override.value(), force_add=True)
    with pytest.raises(InputError, match=expected) as caught:
        validation.check(config)
    assert str(caught.value).startswith((f"{key}: ", f"{key.partition('.')[0]}: "))


@cache
def base(*groups: str) -> DictConfig:
    return compose(groups)


@pytest.mark.parametrize("override", ["+modle.width=3", "+trainer.foo=3", "trainer.max_epochs=-1", "seed=1.5"])
def test_the_command_line_is_checked(override):
    assert f"{override.lstrip('+').partition('.')[0].partition('=')[0]}" in refused(override)


def test_values_of_a_run_that_is_trained_further_are_checked(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "seed: 0\nolder: 3\nobjective: {mode: max}\nname: a\npretrained: null\n"
        "data: {}\nmodel: {}\nevaluation: {}\npaths: {}\n"
        "trainer: {max_epochs: 3, _target_: src.training.learner.NetworkLearner.from_settings}\n"
    )
    assert resuming.resumed(tmp_path, ["trainer.max_epochs=5"]).older == 3  # a key of another version stays
    with pytest.raises(InputError, match=r"objective\.mode: expected one of min, max; received up"):
        resuming.resumed(tmp_path, ["objective.mode=up"])


def test_the_table_of_the_trainer_names_all_that_it_takes():
    from lightning.pytorch import Trainer

    from src.data.loading import Loading
    from src.optimization.settings import Optimization
    from src.training.settings import CheckpointInterval, TrainerSettings

    inside = {"optimizer", "objective", "scheduler", "rates", "averaging", "divergence", "total_steps", "arguments"}
    ours = {one.name for kind in (Loading, Optimization, CheckpointInterval, TrainerSettings) for one in fields(kind)}
    (target,) = schema.CLOSED
    assert set(schema.BY_TARGET[target]) == {*inspect.signature(Trainer).parameters, *ours} - inside


def test_the_tables_name_the_groups_of_conf():
    stated = {name.partition(".")[0] for name in (*schema.PLAIN, *schema.OBJECTS, *schema.NAMED_OBJECTS)}
    groups = {path.name for path in checks.CONF.iterdir() if path.is_dir()}
    assert stated == groups - {"experiment", "debug", "local"} | {"paths", "objective", "evaluation", "pretrained"}


@pytest.mark.slow
def test_a_wrong_value_ends_a_command_with_one_line(project):
    done = run(project, sys.executable, "-m", "src.train", "objective.mode=up", code=2, PYTHONPATH=str(ROOT))
    assert done.stderr == "error: objective.mode: expected one of min, max; received up. Correct it.\n"
    assert not list(project.iterdir())


@pytest.mark.slow
def test_the_checks_import_nothing_heavy(project):
    script = "import sys\nfrom src.config import composition\ncomposition.compose(['+experiment=cnn'])\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & {"torch", "lightning", "mlflow", "numpy", "pandas", "pydantic"}
