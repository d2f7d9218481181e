"""Data and task that do not fit are refused before anything is read, prepared or imported."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.config import command_line, pairing
from src.config.plan import Plan
from src.errors import InputError
from tests.contracts.shipped import shipped
from tests.repository import ROOT

TASKS = [path.stem for path in sorted((ROOT / "conf/task").glob("*.yaml"))]


def test_each_shipped_task_and_data_set_says_what_it_takes_and_has():
    takes = {name: pairing.stated("task", name, "task.takes") for name in TASKS}
    assert takes.pop("multilabel") == ["labels"]
    assert takes.pop("segmentation") == ["mask"]
    assert takes.pop("regression") == ["number"]
    assert takes.pop("language_modelling") == ["tokens"]
    assert all(kinds == ["class"] for kinds in takes.values())
    gives = {name: pairing.stated("data", name, "gives") for name in shipped("data")}
    assert {name for name, kind in gives.items() if kind != "class"} == {
        "canvases",
        "isbi2012",
        "mask_folder",
        "rotated_digits",
        "text_stream",
        "tiny_shakespeare",
    }
    assert {gives["text_stream"], gives["tiny_shakespeare"]} == {"tokens"}
    assert {gives["canvases"], gives["isbi2012"], gives["mask_folder"]} == {"labels", "mask"}
    assert gives["rotated_digits"] == "number"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data=isbi2012"],
            r"Classification: expected data with one class for each example; isbi2012 has a class for each pixel\. Choose "
            r"task=segmentation, or data=digits\|.*image_arrays\|.*torch_dataset, or data=image_table data.gives=class, "
            r"or data=text data.gives=class\.",
        ),
        (
            ["task=regression"],
            r"Regression: expected data with one or several numbers for each example; digits has one class for each example\. "
            r"Choose task=adversarial\|.*, or data=rotated_digits, or data=image_table data\.gives=number, "
            r"or data=text data\.gives=number\.",
        ),
        (["data.gives=nothing"], r"digits has no target\. Choose another task, or data="),
        (
            ["data.gives=numbers"],
            r"data\.gives: expected one of class, labels, mask, number, tokens, nothing; received numbers",
        ),
    ],
)
def test_a_wrong_pair_is_refused_before_anything_is_prepared(project, overrides, message):
    with pytest.raises(InputError, match=message):
        Plan.of(command_line.configure(overrides))
    assert list(Path().iterdir()) == []


def test_what_fits_or_says_nothing_may_be_tried():
    for data, task in (({}, {"takes": ["class"]}), ({"gives": "mask"}, {}), ({"gives": "mask"}, {"takes": ["class", "mask"]})):
        assert pairing.check(OmegaConf.create({"data": data, "task": task})) is None
