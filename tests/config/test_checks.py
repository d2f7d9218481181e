"""The message for an override that no key matches has a remedy that works."""

import re

import pytest

from src.config.composition import compose
from src.errors import InputError
from tests.contracts.shipped import shipped
from tests.repository import ROOT


def test_a_new_key_of_a_group_of_keys_is_added():
    with pytest.raises(InputError) as caught:
        compose(["+experiment=fnn", "data.keep={train: [3]}"])
    message = str(caught.value)
    assert "data.keep: expected keys that it has; received train" in message
    (remedy,) = re.findall(r"'(.+)'", message)
    assert compose(["+experiment=fnn", remedy]).data.keep == {"train": [3]}


@pytest.mark.slow
def test_the_files_of_data_say_how_classes_are_kept():
    stated = [
        (path.name, match.group())
        for path in (ROOT / "conf/data" / f"{name}.yaml" for name in shipped("data"))
        for match in re.finditer(r"\S*keep\.\S+", path.read_text())
    ]
    classified = ("digits", "fashion_mnist", "image_arrays", "image_folder", "image_table", "mnist", "torch_dataset")
    assert {name for name, _ in stated} == {f"{name}.yaml" for name in classified}
    for name, override in stated:
        assert compose([f"data={name.removesuffix('.yaml')}", override]).data.keep == {"train": [0]}, name
