"""What a stored configuration names is not run: no payload, at no depth, by no reader."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src import evaluate, predict
from src.config import checks, command_line, composition, restoring, trust
from src.errors import InputError
from src.runs.folder import Run
from tests.payloads import Payload
from tests.repository import ROOT

READ = re.compile(r"(OmegaConf|sources)\.load\(")
READERS = {  # of what: files of the user's own, files of which nothing is made, and those that this command has just written
    "src/config/trust.py": "the entry",
    "src/config/sources.py": "conf/",
    "src/config/summary.py": "the headline's names",
    "src/config/grid.py": "the headline's names",
    "src/config/pairing.py": "conf/",
    "src/launch/worker.py": "the first process's file",
    "src/launch/submission.py": "a job's own, beside its code",
    "src/api.py": "given to the user as it is",
    "pipelines/params.py": "params.yaml",
    "pipelines/results.py": "shown in the report",
    "pipelines/gallery/rows.py": "shown in the gallery",
}


@pytest.fixture
def marker(project: Path) -> Path:
    """What each payload makes."""
    payload = Payload(project / "marker")
    joblib.dump(payload, project / "payload.joblib")
    torch.save(payload, project / "payload.pt")
    (project / "payload.pkl").write_bytes(pickle.dumps(payload))
    np.save(project / "payload.npy", np.array([payload]), allow_pickle=True)
    return project / "marker"


PAYLOADS: dict[str, Any] = {
    "joblib.load": {"_target_": "joblib.load", "filename": "payload.joblib"},
    "torch.load": {"_target_": "torch.load", "f": "payload.pt", "weights_only": False},
    "pandas.read_pickle": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "payload.pkl"},
    "numpy.load": {"_target_": "numpy.load", "file": "payload.npy", "allow_pickle": True},
    "os.system": {"_target_": "os.system", "command": "mkdir marker"},
    "builtins.eval": {"_target_": "builtins.eval", "_args_": ["__import__('os').mkdir('marker')"]},
    "torch.nn.modules.module.torch.load": {"_target_": "torch.nn.modules.module.torch.load", "f": "payload.pt"},
    "os.mkdir": {"_target_": "hydra.utils.get_method", "path": "os.mkdir"},
    "os.makedirs": {"_target_": "hydra.utils.get_object", "_args_": ["os.makedirs"]},
    "os.rmdir": {"_target_": "functools.partial", "_args_": [{"_target_": "hydra.utils.get_class", "path": "os.rmdir"}]},
    "${name}": {"_target_": "${name}", "command": "mkdir marker"},
}
DEPTHS: dict[str, Callable[[Any], Any]] = {
    "alone": lambda node: node,
    "in lists": lambda node: [[1, {"steps": [node]}]],
    "as an argument": lambda node: {"_target_": "torch.nn.Sequential", "_args_": [node]},
}


def run_folder(node: Any, key: str = "model.activation") -> Path:
    """A run of someone else, whose configuration holds the node."""
    config = composition.resolve_without_facts(composition.compose([]))
    content: Any = OmegaConf.to_container(config)
    group, _, name = key.partition(".")
    content[group] = {**(content[group] or {}), name: node}
    folder = Path("runs/foreign-12345678")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(content))
    return folder


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_payload_is_refused_by_its_name(marker, name, depth):
    folder = run_folder(DEPTHS[depth](PAYLOADS[name]))
    with pytest.raises(InputError) as caught:
        trust.load(folder / "config.yaml")
    assert f"received {name} (model.activation" in str(caught.value)
    assert "trust=true" in str(caught.value)
    assert "conf/local/trusted.txt" in str(caught.value)
    assert not marker.exists()


def by_evaluate(folder: Path) -> int:
    return evaluate.main([f"run={folder}"])


def by_predict(folder: Path) -> int:
    return predict.main([f"run={folder}", "input=x.png"])


def by_resume(folder: Path) -> int:
    return command_line.guard(lambda: command_line.configure([f"resume={folder}"]))


def by_feature_extractor(folder: Path) -> int:
    from src.evaluation.feature_extractor import FeatureExtractor

    for file, text in {"metrics.json": '{"test/accuracy": 1.0}', "best.ckpt": ""}.items():
        (folder / file).write_text(text)
    assert Run(folder).evaluated
    data: Any = None  # it is not asked yet
    return command_line.guard(lambda: FeatureExtractor(str(folder), data=data, samples=2))


def by_tuned(folder: Path) -> int:
    nodes = {"model": OmegaConf.to_container(OmegaConf.load(folder / "config.yaml").model)}
    Path("tuned").mkdir()
    OmegaConf.save({"nodes": nodes}, "tuned/scratch.yaml")
    return command_line.guard(lambda: command_line.configure(["tuned=true"]))


def by_stage(folder: Path) -> int:
    from pipelines import stage

    Path("build").mkdir()
    Path("build/cnn.yaml").write_text(f"{(folder / 'config.yaml').read_text()}code: {{}}\n")
    return command_line.guard(lambda: stage.load("cnn"))


def by_a_pulled_model(folder: Path) -> int:
    return command_line.guard(lambda: restoring.restore(folder))


@pytest.mark.parametrize(
    "reader", [by_evaluate, by_predict, by_resume, by_feature_extractor, by_tuned, by_stage, by_a_pulled_model]
)
def test_no_reader_runs_a_payload(marker, reader, capsys):
    assert reader(run_folder(PAYLOADS["joblib.load"])) == 2
    assert "received joblib.load (" in capsys.readouterr().err
    assert not marker.exists()


def test_no_other_file_reads_a_configuration():
    """A new reader of stored configurations goes through the entry."""
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("pipelines/**/*.py")]
    assert {path.relative_to(ROOT).as_posix() for path in files if READ.search(path.read_text())} == {*READERS}


@pytest.mark.parametrize("arguments", [["trust=true"], ["trust=True", "split=val"]])
def test_a_file_that_is_trusted_runs_and_the_command_says_so(marker, digits, arguments, capsys):
    """The payload is real."""
    folder = run_folder(PAYLOADS["joblib.load"])
    evaluate.main([f"run={folder}", *arguments])
    assert "trust=true: runs/foreign-12345678/config.yaml names joblib.load (model.activation)" in capsys.readouterr().err
    assert marker.is_dir()
    assert by_resume(folder) == 2  # the next command trusts nothing


def test_a_file_does_not_trust_itself(marker):
    folder = run_folder(PAYLOADS["joblib.load"])
    with (folder / "config.yaml").open("a") as file:
        file.write("\ntrust: true\n")
    assert by_resume(folder) == 2


def test_trust_is_true_or_false():
    with pytest.raises(InputError, match="trust=maybe: expected true or false"):
        command_line.configure(["trust=maybe"])
    assert "trust" not in command_line.configure(["trust=false"])


OWN = "tests.config.mylab.Net"


def test_a_class_of_the_users_own_is_listed_or_named_in_conf(project, monkeypatch):
    folder = run_folder({"_target_": OWN}, key="model.network")
    conf = project / "conf"
    (conf / "local").mkdir(parents=True)
    monkeypatch.setattr(checks, "CONF", conf)
    (conf / "broken.yaml").write_text("_target_: [")
    with pytest.raises(InputError, match=rf"received .*{OWN} \(model\.network\)"):
        trust.load(folder / "config.yaml")
    config = OmegaConf.create({"model": {"network": {"_target_": OWN}}})
    OmegaConf.save(config, folder / "config.yaml")
    for file, text in {
        "local/trusted.txt": f"# mine\n{OWN}  # a network\n",
        "model/own.yaml": f"_target_: {OWN}\n",
    }.items():
        path = conf / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        assert trust.load(folder / "config.yaml") == config
        path.unlink()
    (conf / "local/trusted.txt").write_text("tests.config.*\n")
    assert trust.load(folder / "config.yaml") == config
    (conf / "local/trusted.txt").write_text("tests.con*\ntests\n")
    with pytest.raises(InputError):
        trust.load(folder / "config.yaml")


@pytest.mark.slow
def test_a_further_folder_of_groups_is_the_users_own(project):
    folder = run_folder({"_target_": OWN}, key="model.network")
    (project / "groups/model").mkdir(parents=True)
    (project / "groups/model/own.yaml").write_text(f"_target_: {OWN}\n")
    assert by_resume(folder) == 2
    command_line.configure(["--config-dir=groups", f"resume={folder}"])


def test_what_conf_names_lets_no_other_name_through(project, monkeypatch):
    """A getter in conf/ is one of a certain name."""
    (project / "conf").mkdir()
    (project / "conf/own.yaml").write_text("activation: {_target_: hydra.utils.get_method, path: torch.tanh}")
    monkeypatch.setattr(checks, "CONF", project / "conf")
    for name in ("torch.tanh", "os.system"):
        OmegaConf.save({"a": {"_target_": "hydra.utils.get_method", "path": name}}, f"{name}.yaml")
    trust.load(Path("torch.tanh.yaml"))
    with pytest.raises(InputError, match=r"received os\.system \(a\)"):
        trust.load(Path("os.system.yaml"))


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.SiLU",
        "torch.optim.RAdam",
        "torch.optim.lr_scheduler.ExponentialLR",
        "kornia.augmentation.RandomGaussianBlur",
        "src.models.vit.ViT",
        "src.evaluation.attribution.AttentionRollout",
    ],
)
def test_layers_optimizers_and_classes_of_the_seams_need_no_trust(target, project):
    OmegaConf.save({"a": [{"_target_": target, "_partial_": True}]}, "own.yaml")
    assert trust.load(Path("own.yaml")).a[0]._target_ == target


@pytest.mark.parametrize(
    "target", ["src.tracking.queue.Queue", "src.models.fnn.nn.Linear", "torch.nn.init.zeros_", "torch.hub.load"]
)
def test_other_classes_and_functions_of_these_packages_do(target, project):
    OmegaConf.save({"a": {"_target_": target}}, "own.yaml")
    with pytest.raises(InputError, match=target):
        trust.load(Path("own.yaml"))


@pytest.mark.parametrize(
    "value", ["${oc.env:HOME}", "${oc.create:{_target_: os.system}}", "${oc.select:x,{_target_:os.system}}"]
)
def test_a_stored_value_computes_nothing(value, project):
    OmegaConf.save({"a": [value]}, "own.yaml")
    with pytest.raises(InputError, match=r"own\.yaml: expected values, or references to other keys; received a\.0="):
        trust.load(Path("own.yaml"))


def test_a_stored_value_may_refer_to_another_key(project):
    OmegaConf.save({"a": "${oc.select:num_outputs,${data.num_classes}}", "b": "${c}/x", "c": "y"}, "own.yaml")
    assert trust.load(Path("own.yaml")).b == "y/x"


@pytest.mark.parametrize("nodes", [{"model.activation._target_": "os.system"}, {"model.activation": {"_target_": "os.system"}}])
def test_a_search_sets_no_foreign_class_by_a_dotted_key(nodes, project):
    Path("tuned").mkdir()
    OmegaConf.save({"nodes": nodes}, "tuned/scratch.yaml")
    with pytest.raises(InputError, match=r"received os\.system \("):
        command_line.configure(["tuned=true"])


def test_values_of_a_search_keep_what_the_user_typed(project):
    Path("tuned").mkdir()
    OmegaConf.save({"nodes": {"optimizer.lr": 0.5}}, "tuned/scratch.yaml")
    config = command_line.configure(["tuned=true", f"+model.head._target_={OWN}"])
    assert (config.optimizer.lr, config.model.head._target_) == (0.5, OWN)


@pytest.mark.parametrize("key", ["tracking.uri", "paths.runs", "name", "cluster._target_", "resume"])
def test_a_search_sets_what_decides_a_training_alone(key, project):
    Path("tuned").mkdir()
    OmegaConf.save({"nodes": {key: "other"}}, "tuned/scratch.yaml")
    with pytest.raises(InputError, match=rf"expected keys that decide what a training yields .*received {key}"):
        command_line.configure(["tuned=true"])


def test_a_run_of_someone_else_submits_no_job(project):
    folder = run_folder(1)
    content: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    OmegaConf.save({**content, "cluster": {"_target_": "src.launch.slurm.Slurm"}}, folder / "config.yaml")
    assert command_line.configure([f"resume={folder}"]).get("cluster") is None


def test_trust_ends_with_its_command(marker):
    folder = run_folder(PAYLOADS["joblib.load"])
    command_line.configure([f"resume={folder}", "trust=true"])
    with pytest.raises(InputError):
        trust.load(folder / "config.yaml")
    with trust.command():
        trust.grant("true")
        trust.load(folder / "config.yaml")
        assert by_resume(folder) == 2  # another command within it begins anew
        assert trust.granted()
    assert not trust.granted()
