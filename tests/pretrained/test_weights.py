"""Where weights are read from. Their digest depends on their content only."""

import pytest
import torch
from safetensors.torch import save_file
from sklearn.dummy import DummyClassifier

from src.errors import InputError, RunFailed
from src.estimators.classifier import Classifier
from src.pretrained import weights
from src.protocols import NullSink
from src.runs import checkpoints
from src.runs.files import write_json
from src.runs.folder import Run
from tests.nets import CNN_SMALL, fit, network


@pytest.fixture
def run(images, tmp_path) -> Run:
    """A finished run of a small network."""
    data = images()
    finished = Run(tmp_path / "runs" / "cnn-12345678")
    finished.folder.mkdir(parents=True)
    learner = network(data, model=CNN_SMALL, max_epochs=1)
    fit(learner, data, finished.folder)
    learner.export(tmp_path / "exported")
    write_json(finished.metrics, {"epochs": 1})
    return finished


def test_the_same_weights_wherever_they_lie(run, tmp_path):
    """A run by its folder and by its name, its checkpoint, what a train stage leaves, and files that others write."""
    best = checkpoints.read(run.best)["state_dict"]
    bare = {name.removeprefix("model."): tensor for name, tensor in best.items()}
    torch.save({"state_dict": best, "epoch": 1}, tmp_path / "lightning.ckpt")
    torch.save(dict(reversed(bare.items())), tmp_path / "plain.pt")
    save_file({name: tensor.contiguous() for name, tensor in bare.items()}, tmp_path / "plain.safetensors")
    names = [
        str(run.folder),
        run.folder.name,
        str(run.best),
        *(str(tmp_path / name) for name in ("exported", "lightning.ckpt", "plain.pt", "plain.safetensors")),
    ]
    tensors = [weights.read(name, runs=tmp_path / "runs") for name in names]
    assert set(tensors[0]) == set(CNN_SMALL().state_dict())
    for name, one in zip(names, tensors, strict=True):
        assert one.keys() == tensors[0].keys(), name
        assert all(torch.equal(tensor, tensors[0][key]) for key, tensor in one.items()), name
    assert len({weights.digest(one) for one in tensors}) == 1


def test_the_digest_is_of_every_name_type_shape_and_value():
    first = {"a": torch.zeros(2, 3), "b": torch.zeros((), dtype=torch.int64)}
    others = [
        {"a": torch.zeros(2, 3), "c": first["b"]},
        {"a": torch.zeros(3, 2), "b": first["b"]},
        {"a": torch.zeros(2, 3, dtype=torch.bfloat16), "b": first["b"]},
        {"a": torch.tensor([[0, 0, 0], [0, 0, 1e-30]]), "b": first["b"]},
        {"a": first["a"]},
    ]
    assert len({weights.digest(one) for one in [first, *others]}) == 6
    images = torch.randn(2, 3, 4, 4)
    assert weights.digest({"a": images}) == weights.digest({"a": images.to(memory_format=torch.channels_last)})


def refused(source, folder) -> str:
    with pytest.raises(InputError) as caught:
        weights.read(str(source), runs=folder / "runs")
    return str(caught.value)


def test_what_holds_no_weights_is_refused(run, tmp_path):
    assert "there is none. `ls" in refused("cnn-87654321", tmp_path)
    run.metrics.unlink()  # it trains still
    assert "expected a finished run of a network" in refused(run.folder, tmp_path)
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    (tmp_path / "text.safetensors").write_text("not a checkpoint")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")
    torch.save(CNN_SMALL(), tmp_path / "pickled.pt")
    for name in ("text.ckpt", "text.safetensors", "pickled.pt"):
        assert "expected a complete file of tensors from safetensors or torch.save" in refused(tmp_path / name, tmp_path), name
    for name in ("list.pt", "numbers.pt"):
        assert "expected tensors by name" in refused(tmp_path / name, tmp_path), name


def test_a_damaged_checkpoint_is_refused(run, tmp_path):
    content = bytearray(run.best.read_bytes())
    content[len(content) // 2] ^= 1
    run.best.write_bytes(content)
    for source in (run.best, run.folder):
        with pytest.raises(RunFailed, match=r"best\.ckpt: expected a whole checkpoint"):
            weights.read(str(source), runs=tmp_path)


def test_a_classical_estimator_has_no_weights(images, tmp_path):
    data, finished = images(), Run(tmp_path / "runs" / "most_frequent-12345678")
    objective = {"metric": "val/accuracy", "mode": "max"}
    learner = Classifier(model=DummyClassifier, data=data, objective=objective, seed=0)
    finished.folder.mkdir(parents=True)
    learner.fit(data, folder=finished.folder, sink=NullSink())
    write_json(finished.metrics, {"epochs": 1})
    learner.export(tmp_path / "exported")
    for source in (finished.folder, tmp_path / "exported"):
        message = refused(source, tmp_path)
        assert "the run of a classical estimator, which has no weights" in message
        assert "Remove" not in message


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of torchvision's downloads, without access to the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_weights_that_torchvision_publishes(home, tmp_path):
    from torchvision.models import resnet18

    name = "torchvision:ResNet18_Weights.IMAGENET1K_V1"
    message = refused(name, tmp_path)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth could not be downloaded" in message
    assert f"{home}/resnet18-f37072fd.pth" in message
    home.mkdir(parents=True, exist_ok=True)
    network = resnet18()
    torch.save(network.state_dict(), home / "resnet18-f37072fd.pth")
    tensors = weights.read(name, runs=tmp_path)
    assert all(torch.equal(tensors[key], tensor) for key, tensor in network.state_dict().items())


def test_weights_that_torchvision_does_not_publish(tmp_path):
    for name in ("ResNet18_Weights.IMAGENET1K_V3", "ResNet18Weights.IMAGENET1K_V1", "ResNet18_Weights"):
        assert "ResNet18_Weights.IMAGENET1K_V1" in refused(f"torchvision:{name}", tmp_path), name
    assert "NETWORK_Weights.VERSION; nearest: ResNet18_Weights.IMAGENET1K_V1" in refused("torchvision:Foo", tmp_path)
