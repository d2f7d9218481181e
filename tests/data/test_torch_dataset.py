"""A torch Dataset as a source of pictures."""

import io
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from src.config import assembly, command_line
from src.data import scratch
from src.data.sources.torch_dataset import TorchDataset
from src.data.store import Prepared
from src.errors import InputError
from tests import memory
from tests.data.prepared import prepare

FAKE = "data.dataset.source.dataset"


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)


class Pictures(Dataset):
    """Twelve pictures of 5x4 pixels in three classes, in one of the forms that a picture may have."""

    classes = ("ant", "bee", "cat")

    def __init__(self, kind: str = "bytes", *, item: Any = None, count: int = 12):
        self.kind, self.item, self.count = kind, item, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        if number == 7 and isinstance(self.item, Exception):
            raise self.item
        if number == 7 and self.item is not None:
            return self.item
        pixels = pictures()[number]
        first = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        forms = {
            "bytes": pixels,
            "pillow": Image.fromarray(pixels),
            "tensor": first,
            "numbers": first / 255,
            "grey": pixels[..., 0],
            "transparent": Image.fromarray(pixels).convert("RGBA"),
        }
        return forms[self.kind], number % 3


@pytest.mark.parametrize("kind", ["bytes", "pillow", "tensor", "numbers", "grey", "transparent"])
def test_pictures_of_each_form_are_stored_alike(kind):
    raw = TorchDataset(dataset=Pictures(kind)).read()
    expected = pictures().transpose(0, 3, 1, 2)
    assert np.array_equal(raw.arrays["image"], expected[:, :1] if kind == "grey" else expected)
    assert raw.arrays["target"].tolist() == [0, 1, 2] * 4
    assert raw.classes == ["ant", "bee", "cat"]
    assert raw.splits == {}


def test_each_split_may_have_a_data_set_of_its_own():
    raw = TorchDataset(dataset=Pictures(), val=Pictures(count=2), test=Pictures(count=3)).read()
    assert {name: rows.tolist() for name, rows in raw.splits.items()} == {"val": [12, 13], "test": [14, 15, 16]}
    assert len(raw.arrays["image"]) == 17
    named = {"test": Pictures(count=3), "train": Pictures(), "validation": Pictures(count=2)}
    raw = TorchDataset(dataset=named).read()
    assert {name: rows.tolist() for name, rows in raw.splits.items()} == {"test": [0, 1, 2], "val": [15, 16]}
    with pytest.raises(InputError, match=r"received test, train, validation, and data\.dataset\.source\.val\. Choose"):
        TorchDataset(dataset=named, val=Pictures())


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (iter([]), r"dataset: expected a map-style torch Dataset, with __getitem__ and __len__; received list_iterator"),
        (Pictures(count=0), "expected at least one example; Pictures has none"),
        (Pictures(item=OSError("no file b.png")), "item 7 of Pictures cannot be read: OSError: no file b.png"),
        (Pictures(item=(pictures()[0, :3], 0)), "pictures of one size, 3x5x4 as the first; item 7 has 3x3x4"),
        (Pictures(item=pictures()[0]), "item 7 of Pictures: expected a pair of a picture and a class; received ndarray"),
        (Pictures(item=(pictures()[0], 0.5)), r"item 7 .* expected a class as a whole number; received 0\.5"),
        (Pictures(item=(pictures()[0], "bee")), "item 7 .* expected a class as a whole number; received 'bee'"),
        (Pictures(item=(pictures()[0], float("nan"))), "item 7 .* expected a class as a whole number; received nan"),
        (
            Pictures(item=(torch.full((3, 5, 4), torch.nan), 0)),
            "item 7 .* numbers from 0 to 1; received float32 from nan to nan",
        ),
        (Pictures(item=(pictures()[0], -1)), "expected classes from 0; received -1"),
        (Pictures(item=(torch.full((3, 5, 4), -2.5), 0)), r"received float32 from -2\.5 to -2\.5\. Leave out what normalises"),
        (
            Pictures(item=(np.zeros((5, 4, 4), np.uint8), 0)),
            r"item 7 .* expected a picture; received ndarray of shape \[5, 4, 4\]",
        ),
        (
            Pictures(item={"img": 0, "label": 0}),
            r"item 7 .* the fields image and label; received img, label\. .*source\.fields=",
        ),
        (
            {"train": Pictures(), "dev": Pictures()},
            r"source\.dataset: expected the data sets of train, .*; received train, dev\. ",
        ),
        ({"val": Pictures()}, "expected the data sets of train, and perhaps of val and test, each once; received val"),
        (
            {"train": Pictures(), "valid": Pictures(item=OSError("no")), "test": Pictures()},
            r"source\.dataset\[valid\]: item 7 of Pictures cannot be read: OSError: no",
        ),
        (Pictures(item=(torch.zeros(3), 0)), r"item 7 .* expected a picture; received Tensor of shape \[3\]"),
    ],
)
def test_what_is_no_picture_with_a_class_is_refused_with_its_item(dataset, message):
    with pytest.raises(InputError, match=message):
        TorchDataset(dataset=dataset).read()


def test_a_label_outside_the_classes_is_refused_with_its_item(tmp_path):
    with pytest.raises(InputError, match=r"labels from 0 to 2 \(3 classes\); received 3 in row 7, and 1 such labels in total"):
        prepare(tmp_path / "prepared", TorchDataset(dataset=Pictures(item=(pictures()[0], 3))))
    unnamed = Pictures(item=(pictures()[0], 10**9))
    unnamed.classes = ()
    with pytest.raises(InputError, match="numbered 0, 1, 2 and so on; received 1000000000 in row 7, of 12 examples"):
        prepare(tmp_path / "prepared", TorchDataset(dataset=unnamed))
    assert not [*tmp_path.iterdir()], "nothing is half-written"


def test_a_data_set_of_torchvision_is_prepared_and_its_arguments_count(project):
    fake = (f"{FAKE}._target_=torchvision.datasets.FakeData", f"+{FAKE}.image_size=[3,8,8]", f"+{FAKE}.num_classes=3")
    folders = set()
    for size in (40, 50):
        prepared = assembly.prepare(command_line.configure(["data=torch_dataset", *fake, f"+{FAKE}.size={size}"]))
        assert prepared.card["counts"]["train"] == size - round(0.2 * size) - round(0.15 * size)
        assert prepared.facts == {"shape": [3, 8, 8], "num_classes": 3}
        folders.add(prepared.folder)
    assert len(folders) == 2


def test_the_content_of_a_prepared_data_set_stays_what_it_was(tmp_path):
    prepared = prepare(
        tmp_path / "prepared", TorchDataset(dataset=Pictures(), test=Pictures("numbers", count=4)), max_duplicates=1.0
    )
    assert prepared.card["content"][:16] == "318598cbfa25ed1e"
    assert sorted(path.name for path in prepared.folder.glob("[it]*.npy")) == [
        "image.npy",
        "target.npy",
        "test.index.npy",
        "train.index.npy",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Random(Dataset):
    """Pictures that take memory only when they are asked for."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        return np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8), number % 3


def test_memory_does_not_grow_with_the_items(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "CHUNK", 2**16)
    peaks, sizes = [], []
    for count in (300, 1500):
        monkeypatch.setattr(sys, "stderr", Terminal())
        with memory.measured() as peak:
            prepared = prepare(tmp_path / f"{count}", TorchDataset(dataset=Random(count)))
        peaks.append(peak())
        assert f"/{count} " in sys.stderr.getvalue(), "a bar"
        sizes.append(prepared.array("image").nbytes)
    assert sizes == [3 * 32**2 * 300, 3 * 32**2 * 1500]
    assert peaks[1] - peaks[0] < 0.1 * (sizes[1] - sizes[0])  # digests of the examples


@pytest.mark.slow
def test_a_folder_of_hugging_face_states_its_splits_and_the_names_of_its_classes(project):
    datasets = pytest.importorskip("datasets", reason="the extra datasets is not installed")
    datasets.disable_progress_bars()
    features = datasets.Features(picture=datasets.Image(), kind=datasets.ClassLabel(names=["ant", "bee"]))

    def save(first: int) -> None:
        numbers = {"train": range(first, first + 4), "validation": range(10, 12), "test": range(20, 23)}
        items = {
            split: {
                "picture": [Image.fromarray(np.full((2, 3, 3), 10 * one, dtype=np.uint8)) for one in own],
                "kind": [one % 2 for one in own],
            }
            for split, own in numbers.items()
        }
        parts = {split: datasets.Dataset.from_dict(one, features=features) for split, one in items.items()}
        datasets.DatasetDict(parts).save_to_disk(project / "saved")

    def prepare(*overrides: str) -> Prepared:
        target = (f"{FAKE}._target_=datasets.load_from_disk", f"+{FAKE}.dataset_path={project / 'saved'}")
        return assembly.prepare(command_line.configure(["data=torch_dataset", *target, *overrides]))

    save(0)
    with pytest.raises(InputError, match=r"item 0 of Dataset: expected the fields image and label; received picture, kind\."):
        prepare()
    prepared = prepare("data.dataset.source.fields=[picture,kind]")
    assert prepared.card["classes"] == ["ant", "bee"]
    assert prepared.card["counts"] == {"train": 4, "val": 2, "test": 3}
    assert prepared.facts == {"shape": [3, 2, 3], "num_classes": 2}
    levels = {split: prepared.array("image")[prepared.index(split), 2, 1, 1].tolist() for split in ("train", "val", "test")}
    assert levels == {"train": [0, 10, 20, 30], "val": [100, 110], "test": [200, 210, 220]}
    assert prepared.array("target").tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    save(1)
    changed = prepare("data.dataset.source.fields=[picture,kind]")
    assert changed.array("image")[changed.index("train"), 0, 0, 0].tolist() == [10, 20, 30, 40], "the files are noticed"


def test_a_folder_that_there_is_not_and_a_package_that_is_not_installed_are_named(project, monkeypatch):
    target = "tests.data.test_torch_dataset.opened"
    with pytest.raises(
        InputError, match=r"data\.dataset\.source: .* refuses its settings: .*No such file or directory: 'none'"
    ):
        assembly.prepare(command_line.configure(["data=torch_dataset", f"{FAKE}._target_={target}", f"+{FAKE}.path=none"]))
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it were not there
    with pytest.raises(
        InputError, match=r"there is no datasets\. Install it: uv pip install .* --extra datasets -c constraints"
    ):
        assembly.prepare(command_line.configure(["data=torch_dataset", f"{FAKE}._target_=datasets.load_from_disk"]))


def opened(path: str) -> Pictures:
    with open(path):
        return Pictures()
