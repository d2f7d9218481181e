"""Which errors of the configuration's classes are the user's, and which are defects of their code."""

import pytest
from omegaconf import OmegaConf

from src.config import sources
from src.config.instantiation import make
from src.config.sources import CONF
from src.errors import InputError
from tests.contracts.shipped import shipped

SIZES = {"input_shape": [1, 8, 8], "num_outputs": 10}
NET = {"_target_": "tests.config.mylab.Net", **SIZES}
ADAM = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3}


def refusal(node: dict, **live: object) -> str:
    with pytest.raises(InputError) as caught:
        make(node, "model", **live)
    return str(caught.value)


def test_a_node_becomes_an_object():
    assert make({**NET, "width": 3}, "model").layers[1].out_features == 3
    assert make(ADAM, "optimizer").keywords == {"lr": 1e-3}
    assert make({"_target_": "datetime.timedelta", "seconds": 60}, "timeout").seconds == 60  # it shows no signature


def test_a_name_that_does_not_exist():
    assert "received torch.optim.Adamm" in refusal({"_target_": "torch.optim.Adamm"})
    assert "Nearest: Adam" in refusal({"_target_": "torch.optim.Adamm"})
    for nothing in (None, "", 3):
        assert "model._target_: expected the path of a class" in refusal({"_target_": nothing})
    assert "there is no nowhere" in refusal({"_target_": "nowhere.Net"})
    inner = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Relu6"}]}
    assert "model._args_.0._target_" in refusal(inner)
    assert "refuses its settings" in refusal({"_target_": "torch.optim"})


@pytest.mark.parametrize("target", ["Net", "WrongForward", "passing_on"])
def test_a_setting_that_is_not_taken(target):
    """Whether the signature shows it, or only the one that the setting is passed on to."""
    message = refusal({**NET, "_target_": f"tests.config.mylab.{target}", "widht": 3})
    assert message.startswith(f"model.widht: expected a setting of tests.config.mylab.{target}")
    assert message.endswith("Leave it out: ~model.widht.")
    assert ("nearest: width" in message) == (target != "passing_on")


def test_a_setting_that_a_class_inside_does_not_take():
    nodes = {"_target_": "torch.nn.Sequential", "_args_": [{**NET, "_target_": "tests.config.mylab.passing_on", "widht": 3}]}
    assert refusal(nodes).startswith("model._args_.0.widht: expected a setting of tests.config.mylab.passing_on")
    assert refusal({**ADAM, "momentum": 0.9}).startswith("model.momentum: expected a setting of torch.optim.Adam")


def test_a_setting_without_a_default():
    assert "expected num_outputs" in refusal({"_target_": "tests.config.mylab.Net", "input_shape": [1, 8, 8]})
    assert make({**NET, "_partial_": True}, "model")().layers[3].out_features == 10


def test_a_value_that_a_constructor_refuses():
    assert "tests.config.mylab.Net refuses its settings: width: expected 1 or more; received 0." in refusal({**NET, "width": 0})


def test_an_error_of_our_own_has_its_own_message():
    def refuse() -> None:
        raise InputError("a message")

    with pytest.raises(InputError, match=r"^a message$"):
        make({"_target_": "tests.config.test_instantiation.call"}, "model", function=refuse)


def call(function):
    return function()


@pytest.mark.parametrize("nested", [False, True])
def test_a_defect_of_a_constructor_passes_through(nested):
    node = {**NET, "_target_": "tests.config.mylab.WrongConstructor"}
    with pytest.raises(TypeError, match="empty"):
        make({"_target_": "torch.nn.Sequential", "_args_": [node]} if nested else node, "model")


def test_a_module_that_cannot_be_imported_is_a_defect():
    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        make({"_target_": "tests.config.broken.Net"}, "model")


def test_a_setting_outside_the_range_that_an_annotation_states():
    node = {"_target_": "src.models.fnn.FNN", **SIZES, "hidden": [8]}
    for hidden in ([0], [-4], [2.5], [8, 0], 8, None, ["8"]):
        message = refusal({**node, "hidden": hidden})
        assert message.startswith("model.hidden: expected a list, each a whole number from 1; received ")
    assert "model.dropout: expected a number from 0 up to but not including 1; received 1" in refusal({**node, "dropout": 1})
    assert "model.batch_norm: expected true or false; received 1" in refusal({**node, "batch_norm": 1})
    inner = {"_target_": "src.layers.priors.Mixture", "latent_size": 2, "components": 0}
    assert "model.prior.components: expected a whole number from 1" in refusal(
        {"_target_": "collections.Counter", "prior": inner}
    )
    assert make({**node, "hidden": []}, "model") is not None


OURS = {
    name: node
    for name in shipped("model")
    if "src." in (node := sources.load(CONF / "model" / f"{name}.yaml")).get("_target_", "")
}


# What a configuration takes from its data, or from a file.
KNOWN = {
    "input_shape": [1, 8, 8],
    "num_outputs": 10,
    "vocabulary": 20,
    "padding": 0,
    "longest": 9,
    "context": 8,
    "name": "own",
    "architecture": {"model_type": "bert"},
}


def test_every_size_of_every_model_of_ours_has_a_range():
    assert len(OURS) > 10
    for content in OURS.values():
        node = OmegaConf.to_container(content)
        node |= {key: value for key, value in KNOWN.items() if key in node}
        for key in (key for key, value in node.items() if isinstance(value, int | float | list)):
            for bad in (-4, float("nan"), "text"):
                changed = {**node, key: [bad] if isinstance(node[key], list) else bad}
                with pytest.raises(InputError, match=rf"^model\.{key}: expected "):
                    make(changed, "model")
