"""Composing and checking a configuration: what is mistyped is refused early, and by a message that helps."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.config import command_line, composition
from src.config.composition import compose, resolve
from src.errors import InputError
from tests.config.refusals import refused
from tests.repository import ROOT, run


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer.lrr=1e-3", ["optimizer.lrr: there is no such option", "nearest: optimizer.lr", "+optimizer.lrr="]),
        ("trainer.max_epoch=3", ["trainer.max_epoch: there is no such option", "nearest: trainer.max_epochs"]),
        ("max_epochs=3", ["max_epochs: there is no such option", "nearest: trainer.max_epochs"]),
        ("mdel=cnn", ["mdel: there is no such option", "nearest: model"]),
        ("model=lenett", ["model=lenett: there is no such option", "nearest: lenet"]),
        ("data=fasion_mnist", ["data=fasion_mnist: there is no such option", "nearest: fashion_mnist"]),
        ("callbacks=early", ["callbacks=early: there is no such option", "early_stopping"]),
        ("+experiment=cn", ["experiment=cn: there is no such option", "nearest: cnn"]),
        ("+debug=limt", ["debug=limt: there is no such option", "nearest: limit"]),
        ("experiment=cnn", ["write +experiment=cnn"]),
        ("debug=limit", ["write +debug=limit"]),
        ("+model=lenet", ["model is chosen already", "write model=lenet, without the +"]),
        ("~trainr", ["trainr: there is no such option", "nearest: trainer"]),
        ("model@other=cnn", ["model@other: there is no such option"]),
        ("++experiment=cnn", ["write +experiment=cnn, with one +"]),
        ("++model=cnn", ["write model=cnn, without +"]),
        ("~experiment", ["experiment is not chosen here"]),
        (
            "augmentation=[light,nope]",
            ["augmentation=[light,nope]: ", "there is no nope among them", "One of: cutmix, elastic"],
        ),
        ("optimizer.lr=0,01", ["optimizer.lr=0,01: expected one value", "a decimal point (0.01)", "a grid with -m"]),
        ("model=cnn,fnn", ["model=cnn,fnn: expected one value", "list in brackets ([cnn,fnn])", "a grid with -m"]),
        ("name=a,b", ["text in quotes (\"name='a,b'\")"]),
        ("paths.runs=runs/a=b", ["in a shell \"paths.runs='runs/a=b'\""]),
        ("callbacks=null", ["callbacks=null: expected the name of an option; received null. One of: default, early_stopping"]),
        ("optimizer=5", ["expected the name of an option; received 5. One of: adagrad"]),
        ("~model", ["model: expected this key in every configuration; it is missing"]),
    ],
)
def test_a_mistyped_name_gets_the_nearest_ones(override, expected):
    message = refused(override)
    for part in expected:
        assert part in message


@pytest.mark.parametrize("override", ["optimizer.lr", "optimizer.lr=[1", "model.=3", "a b=3", "=3", "optimizer=5"])
def test_what_is_no_override_is_refused(override):
    assert override in refused(override)


@pytest.mark.parametrize(
    ("override", "expected", "received"),
    [
        ("optimizer.lr=fast", "a number, as in optimizer.lr=", "'fast', text"),
        ("data.batch_size='16'", "a number", "'16', text"),
        ("model.hidden=5", "a list, as in model.hidden=[", "5, a number"),
        ("data.batch_size=[16,32]", "a number, as in data.batch_size=", "[16, 32], a list"),
        ("trainer.max_epochs=true", "a number, as in trainer.max_epochs=", "True, true or false"),
        ("model.batch_norm=1", "true or false", "1, a number"),
        ("name=3", "text, as in name=scratch", "3, a number"),
        ("data.dataset.split=0.2", "a group of keys", "0.2, a number"),
    ],
)
def test_a_value_of_another_type_is_refused(override, expected, received):
    message = refused(override)
    assert f"{override.partition('=')[0]}: expected {expected}" in message
    assert f"received {received}" in message


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.labelled=0.5", 0.5),
        ("optimizer.lr=1", 1),
        ("trainer.max_epochs=null", None),  # anything may become null
        ("trainer.progress_bar=false", False),  # null takes anything
        ("trainer.limit_batches=3", 3),
        ("task.class_weights=[1,2]", [1, 2]),
        ("optimizer.weight_decay=1", 1),  # a number may be whole
        ("scheduler={_target_:a.b}", {"_target_": "a.b"}),
        ("model.hidden=[]", []),
        ("model.hidden=[64,32]", [64, 32]),
        ("+trainer.min_epochs=2", 2),
        ("++optimizer.lr=0.1", 0.1),
        ("+model.something.new=5", 5),
        ("data.dataset.split.val=300", 300),  # a share may become a number of examples
    ],
)
def test_what_fits_is_taken(override, value):
    node = OmegaConf.select(compose([override]), override.partition("=")[0].lstrip("+"))
    assert (OmegaConf.to_container(node) if OmegaConf.is_config(node) else node) == value


@pytest.mark.slow
def test_a_mistyped_key_of_what_is_chosen_gets_its_neighbours():
    assert "nearest: augmentation.affine.degrees" in refused("augmentation=light", "augmentation.affine.degres=5")
    assert "nearest: scheduler.pct_start" in refused("scheduler=one_cycle", "scheduler.pct_strat=0.1")
    assert "nearest: scheduler" in refused("scheduler.pct_strat=0.1")


def test_several_options_of_a_group_follow_one_another():
    config = compose(["augmentation=[light,mixup]", "augmentation.mixup.alpha=0.5"])
    assert list(config.augmentation) == ["_target_", "affine", "mixup"]
    assert config.augmentation.mixup.alpha == 0.5


@pytest.mark.slow
def test_another_model_on_top_of_an_experiment_composes():
    config = compose(["+experiment=cnn", "model=lenet"])
    assert config.model._target_ == "src.models.lenet.LeNet"
    assert set(config.model) == {"_target_", "input_shape", "num_outputs"}
    assert config.name == "cnn"  # the experiment's other settings stay
    assert config.optimizer == compose(["+experiment=cnn"]).optimizer


@pytest.mark.slow
def test_a_key_that_an_experiment_sets_for_another_model_names_the_file(tmp_path):
    path = write(tmp_path, "experiment/mine.yaml", "defaults: [{override /model: cnn}]\nname: mine\nmodel: {width: 8}\n")
    assert compose(["+experiment=mine"], extra=[tmp_path]).model.width == 8
    message = refused("+experiment=mine", "model=fnn", extra=[tmp_path])
    assert f"{path} sets model.width, which model=fnn does not have" in message


@pytest.mark.slow
def test_a_debug_setting_that_fits_nothing_names_the_file(tmp_path):
    path = write(tmp_path, "debug/mine.yaml", "optimizer: {momentum: 0.5}\n")
    message = refused("+debug=mine", "optimizer=adam", extra=[tmp_path])
    assert f"{path} sets optimizer.momentum, which optimizer=adam does not have" in message
    assert compose(["+debug=mine", "optimizer=sgd"], extra=[tmp_path]).optimizer.momentum == 0.5


def test_an_experiment_may_replace_a_whole_node(tmp_path):
    write(tmp_path, "experiment/mine.yaml", "name: mine\nmodel: {hidden: [3, 2, 1]}\n")
    assert compose(["+experiment=mine"], extra=[tmp_path]).model.hidden == [3, 2, 1]


def test_a_folder_of_own_groups_is_searched(tmp_path):
    write(tmp_path, "model/mine.yaml", "# no package line: it is in the group's own\n_target_: mine.Net\nsize: 3\n", head="")
    config = command_line.configure(["--config-dir", str(tmp_path), "model=mine", "model.size=5"])
    assert config.model == {"_target_": "mine.Net", "size": 5}


def test_a_missing_folder_of_own_groups_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"--config-dir: expected a folder.*nowhere"):
        command_line.configure([f"--config-dir={tmp_path / 'nowhere'}"])


@pytest.mark.parametrize("arguments", [["--config-dir"], ["--config-dir="], ["seed=1", "--config-dir"]])
def test_a_folder_of_own_groups_without_its_name_is_refused(arguments):
    with pytest.raises(InputError, match=r"--config-dir: expected a folder of configuration groups; received none"):
        command_line.configure(arguments)


def test_facts_fill_what_is_null():
    config = compose(["data=image_folder", "model=cnn"])
    resolved = resolve(config, facts={"shape": [3, 32, 32], "num_classes": 7})
    assert resolved.data.shape == resolved.model.input_shape == [3, 32, 32]
    assert resolved.data.num_classes == resolved.model.num_outputs == 7
    assert config.data.num_classes is None  # the argument is unchanged


def test_facts_that_agree_with_what_is_stated_change_nothing():
    config = compose(["data=digits"])
    assert resolve(config, facts={"shape": [1, 8, 8], "num_classes": 10}) == resolve(config)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"num_classes": 9}, r"data.num_classes: expected 9, as in the prepared data; received 10.*data.num_classes=null"),
        ({"shape": [3, 8, 8]}, r"data.shape: expected \[3, 8, 8\], as in the prepared data; received \[1, 8, 8\]"),
    ],
)
def test_a_fact_that_contradicts_is_refused(facts, message):
    with pytest.raises(InputError, match=message):
        resolve(compose(["data=digits"]), facts=facts)


def test_a_fact_that_the_data_does_not_ask_for_is_no_key():
    assert "vocab_size" not in resolve(compose([]), facts={"vocab_size": 5}).data


@pytest.mark.parametrize("override", ["optimizer.lr=???", "data.num_classes=???", "data.batch_size='???'"])
def test_what_is_left_open_is_refused(override):
    key = override.partition("=")[0]
    with pytest.raises(InputError, match=rf"expected a value for .*{key}.*; received \?\?\?"):
        resolve(compose([override]))


def test_an_interpolation_of_nothing_is_refused():
    with pytest.raises(
        InputError, match=r"Interpolation key 'data.vocabulary' not found. src.data.images.Images has no vocabulary"
    ):
        composition.resolve(composition.compose(["data=digits", "model=textcnn"]))
    with pytest.raises(InputError, match=r"expected a configuration that resolves.*nothing"):
        resolve(compose(["optimizer.lr=${nothing.here}"]))


def test_a_resolved_configuration_has_no_interpolation_left():
    text = OmegaConf.to_yaml(resolve(compose(["+experiment=cnn", "model=random_forest"])))
    assert "${" not in text


def test_only_interpolations_that_need_a_fact_of_the_data_stay():
    config = composition.resolve_without_facts(compose(["data=image_folder"]))
    raw = OmegaConf.to_container(config, resolve=False)
    assert raw["model"]["num_outputs"].endswith("${data.num_classes}}")
    assert raw["data"]["dataset"]["source"]["root"] == "data/raw/images"
    assert resolve(config, facts={"shape": [3, 32, 32], "num_classes": 4}).model.num_outputs == 4
    two = composition.resolve_without_facts(compose(["+experiment=binary"]))
    assert OmegaConf.to_container(two, resolve=False)["model"]["num_outputs"] == 1


@pytest.mark.parametrize(("override", "nearest"), [("optimizer.lrr=1", "optimizer.lr"), ("+experiment=cn", "cnn")])
def test_a_mistyped_command_ends_with_one_line(project, override, nearest):
    done = run(project, sys.executable, "-m", "src.train", override, code=2, PYTHONPATH=str(ROOT))
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert f"nearest: {nearest}" in line
    assert not list(project.iterdir())


@pytest.mark.slow
def test_a_mistyped_command_imports_nothing_that_trains(project):
    script = "import sys\nfrom src import train\nfrom src.config import command_line\n"
    script += "try: command_line.main(train.train, ['optimizer.lrr=1'])\n"
    script += "finally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    loaded = set(done.stdout.split())
    assert "hydra" in loaded
    assert not loaded & {"torch", "lightning", "mlflow", "torchmetrics", "sklearn", "pandas", "matplotlib"}


def write(folder: Path, name: str, text: str, *, head: str = "# @package _global_\n") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + text)
    return path
