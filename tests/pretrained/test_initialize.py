"""A training that starts with pretrained weights: which are loaded, what is refused, and which run it is."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn

from src.config import assembly, composition, restoring, resuming
from src.errors import InputError
from src.models.adapted_classifier import AdaptedClassifier
from src.models.autoencoder import Autoencoder
from src.models.cnn import CNN
from src.pretrained.initialize import initialize
from src.runs import identity
from tests.nets import end, fit

SMALL = ("model=cnn", "model.width=2", "trainer.max_epochs=1", "trainer.limit_batches=3", "trainer.accelerator=cpu")
FILE = "weights.safetensors"


def cnn(*, seed: int, outputs: int = 10) -> CNN:
    torch.manual_seed(seed)
    return CNN(input_shape=(1, 8, 8), width=2, num_outputs=outputs)


@pytest.fixture
def complete(digits, project):
    """Makes complete configurations on the digits, in a folder with a file of weights for ten classes."""
    save_file(cnn(seed=1).state_dict(), FILE)

    def make(*overrides: str) -> Any:
        return assembly.complete(composition.compose([*SMALL, f"pretrained.weights={FILE}", *overrides]), digits[1])

    return make


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_all_weights_are_loaded_by_default():
    network, other = cnn(seed=0), cnn(seed=1)
    initialize(network, other.state_dict(), weights="a file")
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in other.state_dict().items())


def test_a_reinitialized_head_keeps_its_random_weights():
    network, other = cnn(seed=0, outputs=2), cnn(seed=1)
    before = state(network)
    initialize(network, other.state_dict(), weights="a file", reinitialize=["classifier.4"])
    for name, tensor in network.state_dict().items():
        expected = before if name.startswith("classifier.4") else other.state_dict()
        assert torch.equal(tensor, expected[name]), name


def test_only_the_encoder_of_an_autoencoder_is_loaded():
    autoencoder = Autoencoder(input_shape=(1, 8, 8), hidden=[8], latent_size=4)
    classifier = nn.ModuleDict(
        {"encoder": Autoencoder(input_shape=(1, 8, 8), hidden=[8], latent_size=4).encoder, "head": nn.Linear(4, 3)}
    )
    before = state(classifier)
    initialize(classifier, autoencoder.state_dict(), weights="a file", include=["encoder"], reinitialize=["head"])
    assert torch.equal(classifier.state_dict()["encoder.1.weight"], autoencoder.state_dict()["encoder.1.weight"])
    assert torch.equal(classifier.state_dict()["head.weight"], before["head.weight"])


def test_a_network_accepts_the_weights_of_its_only_child():
    from torchvision.models import resnet18

    inner = resnet18(num_classes=10)
    pretrained = {name: tensor for name, tensor in inner.state_dict().items() if "num_batches" not in name}
    network = AdaptedClassifier(resnet18(num_classes=2), input_shape=(1, 32, 32))
    initialize(network, pretrained, weights="a file", reinitialize=["network.fc", "network.conv1"])
    assert torch.equal(network.state_dict()["network.layer4.1.conv2.weight"], pretrained["layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    ("outputs", "settings", "expected"),
    [
        (2, {}, r"classifier\.4\.weight of the network's shape \[2, 128\]; received \[10, 128\], with 1 more like it\. Let it "
                r"keep its random weights \(pretrained\.reinitialize=\[classifier\.4\]\)"),
        (2, {"reinitialize": ["features"]}, r"pretrained\.reinitialize=\[features,classifier\.4\]"),
        (10, {"include": ["features"]}, r"expected all 16 weights of the network; 4 \(classifier\.1\.weight, "
                                     r"classifier\.1\.bias, classifier\.4\.weight, \.\.\.\) are missing"),
        (10, {"reinitialize": ["head"]}, r"pretrained\.reinitialize: expected .* parts of features, classifier; received head"),
        (10, {"include": ["encoder"]}, r"pretrained\.include: expected .* parts of features, classifier; received encoder"),
        (10, {"reinitialize": ["features", "classifier"]}, r"pretrained\.include and pretrained\.reinitialize leave none"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(outputs, settings, expected):
    network = cnn(seed=0, outputs=outputs)
    before = state(network)
    with pytest.raises(InputError, match=expected):
        initialize(network, cnn(seed=1).state_dict(), weights="a file", **settings)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_superfluous_weights_are_named():
    pretrained = {**cnn(seed=1).state_dict(), "decoder.0.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"1 \(decoder\.0\.weight\) is not in it\. .*pretrained\.include="):
        initialize(cnn(seed=0), pretrained, weights="a file")


@pytest.mark.slow
def test_other_weights_make_another_run_and_the_same_ones_elsewhere_the_same(complete, digits):
    def name(config: Any) -> str:
        return identity.run_id(OmegaConf.to_container(config), digits[1].card["content"])  # type: ignore[arg-type]

    here = complete()
    assert len(here.pretrained.content) == 64
    torch.save(cnn(seed=1).state_dict(), "elsewhere.pt")
    save_file(cnn(seed=2).state_dict(), "others.safetensors")
    ids = {
        "here": name(here),
        "elsewhere": name(complete("pretrained.weights=elsewhere.pt")),
        "others": name(complete("pretrained.weights=others.safetensors")),
        "a new head": name(complete("pretrained.reinitialize=[classifier.4]")),
        "none": name(complete("pretrained.weights=null")),
    }
    assert ids["here"] == ids["elsewhere"]
    assert len(set(ids.values())) == 4
    plain = OmegaConf.to_container(complete("pretrained.weights=null"))
    del plain["pretrained"]  # as runs of earlier times
    assert identity.run_id(plain, digits[1].card["content"]) == ids["none"]


@pytest.mark.slow
def test_an_experiment_starts_with_them_and_its_run_does_not_read_them_again(complete, digits, project, tmp_path):
    config = complete("pretrained.reinitialize=[classifier.4]")
    experiment = assembly.build(config, digits[1])
    fresh = assembly.build(complete("pretrained.weights=null"), digits[1])
    loaded, scratch = (state(one.learner.task.model) for one in (experiment, fresh))
    assert torch.equal(loaded["features.0.weight"], cnn(seed=1).state_dict()["features.0.weight"])
    assert torch.equal(loaded["classifier.4.weight"], scratch["classifier.4.weight"])  # by the seed, as without them
    fit(experiment.learner, experiment.data, tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(OmegaConf.to_yaml(config))
    (project / FILE).unlink()
    restored = restoring.restore(tmp_path / "run")
    best = end(tmp_path / "run", "best.ckpt")["state_dict"]
    assert all(torch.equal(tensor, best[f"model.{name}"]) for name, tensor in restored.learner.task.model.state_dict().items())
    further = resuming.resumed(tmp_path / "run", ["trainer.max_epochs=2"])
    assert assembly.complete(further, digits[1]).pretrained.content == config.pretrained.content
    assembly.build(further, digits[1])
    with pytest.raises(
        InputError, match=r"expected no pretrained weights, because the training continues with its own; received pretrained\."
    ):
        resuming.resumed(tmp_path / "run", ["pretrained.weights=others.safetensors"])
    with pytest.raises(InputError, match="there is none"):
        assembly.build(config, digits[1])


def test_weights_that_have_changed_since_are_refused(complete, digits):
    config = complete()
    save_file(cnn(seed=2).state_dict(), FILE)
    with pytest.raises(
        InputError, match=rf"pretrained\.weights={FILE}: expected the weights with the SHA-256 {config.pretrained.content}"
    ):
        assembly.build(config, digits[1])


def test_a_classical_estimator_has_none(complete, digits):
    chosen = ["+experiment=random_forest", f"pretrained.weights={FILE}"]
    config = assembly.complete(composition.compose(chosen), digits[1])
    with pytest.raises(InputError, match=r"expected a network; RandomForestClassifier cannot load weights"):
        assembly.build(config, digits[1])
