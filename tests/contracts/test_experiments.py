"""What every experiment of conf/experiment must do."""

import re
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from src.config import assembly, checks, composition
from src.learner import HasNetwork
from src.protocols import Cost
from src.runs import identity
from tests.contracts.shipped import at_hand, shipped

EXPERIMENTS = [*filter(at_hand, checks.options("experiment"))]
SHIPPED = [*filter(at_hand, shipped("experiment"))]
PREPARED = (
    "digits",
    "fashion_mnist",
    "isbi2012",
    "canvases",
    "rotated_digits",
    "sentence_polarity",
)  # data sets that are fixtures


def text(name: str) -> str:
    return (checks.CONF / "experiment" / f"{name}.yaml").read_text()


@pytest.fixture(params=EXPERIMENTS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """Every experiment, composed once."""
    return {name: composition.compose([f"+experiment={name}"]) for name in EXPERIMENTS}


def test_the_experiments_that_are_promised_are_there():
    assert {"fnn", "lenet", "cnn", "resnet_small", "vit_tiny", "unet", "autoencoder", "vae", "dcgan"} <= set(EXPERIMENTS)
    assert {"alexnet", "vgg11", "vgg16", "googlenet", "inception_v3", "resnet18", "resnet50"} <= set(EXPERIMENTS)
    assert {"most_frequent", "logistic_regression", "random_forest", "multilabel", "binary"} <= set(EXPERIMENTS)


def test_its_name_is_that_of_its_file(name, composed):
    assert composed[name].name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_a_comment_says_what_it_shows_and_what_is_to_be_expected(name):
    first, second, *_ = text(name).splitlines()
    assert first == "# @package _global_"
    assert second.startswith("# ")
    assert len(second) > 30
    expected = text(name).partition("# Expected: ")[2].partition("defaults:")[0]
    assert re.search(r"\d", expected) or "not measured" in expected
    assert "?" not in expected


@pytest.mark.parametrize("name", SHIPPED)
def test_it_states_no_key_of_one_model_alone(name):
    """So that another model can be chosen on top of it; sizes of one architecture make a file in conf/model."""
    assert "model" not in yaml.safe_load(text(name))


def test_every_group_that_it_chooses_exists(name, composed):
    for group, node in composed[name].items():
        if OmegaConf.is_dict(node) and "_target_" in node:
            assert identity.targets(OmegaConf.to_container(node, resolve=False)), group


def test_it_builds_on_its_data(name, composed, project, request):
    config = composed[name]
    if name not in SHIPPED or config.data.dataset.name not in PREPARED:
        pytest.skip(f"{config.data.dataset.name} is not to be had in every clone")
    _, prepared = request.getfixturevalue(config.data.dataset.name)
    if config.data.dataset.get("classes"):  # only these classes of that data set
        if config.data.dataset.name != "digits":
            request.getfixturevalue("data_cache")
        prepared = assembly.prepare(config)
    resolved = assembly.complete(config, prepared)
    assert "${" not in OmegaConf.to_yaml(resolved)
    experiment = assembly.build(resolved, prepared)
    assert experiment.name == name
    cost = experiment.learner.check(experiment.data)
    if not isinstance(experiment.learner, HasNetwork):
        assert cost == Cost(parameters=0, flops=None)
    else:
        assert cost.parameters > 0
        assert cost.flops
    assert set(experiment.evaluation.headline)


def test_its_code_has_a_fingerprint(name, composed):
    content: Any = OmegaConf.to_container(composition.resolve_without_facts(composed[name]))
    targets = identity.targets(identity.training_part(content))
    assert len(targets) >= 3
    code = identity.code(targets, verb="train")
    assert len(code) == 64
    assert int(code, 16) > 0
    assert code == identity.code(targets, verb="train")


def test_different_architectures_have_different_fingerprints(composed):
    fingerprints = {}
    for name in ("fnn", "cnn", "autoencoder"):
        content: Any = OmegaConf.to_container(composition.resolve_without_facts(composed[name]))
        fingerprints[name] = identity.code(identity.targets(identity.training_part(content)), verb="train")
    assert len(set(fingerprints.values())) == 3


def test_every_experiment_is_a_run_of_its_own(composed, digits):
    _, prepared = digits
    ids = {}
    for name, config in ((name, composed[name]) for name in SHIPPED):
        if config.data.dataset.name == "digits":
            content: Any = OmegaConf.to_container(assembly.complete(config, prepared))
            ids[name] = identity.run_id(content, prepared.card["content"])
    assert len(set(ids.values())) == len(ids) > 5
