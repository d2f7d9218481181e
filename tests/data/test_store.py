"""A prepared data set: its card, its content, and that it is never incomplete."""

import hashlib
import json
import multiprocessing
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.data.raw import Raw
from src.errors import InputError
from tests.data.prepared import SPLIT, InMemory, pieces, prepare
from tests.pictures import Arrays, noise
from tests.repository import ROOT


def test_the_card_states_the_data(tmp_path):
    prepared = prepare(tmp_path / "d", Arrays(*noise(120), splits={"test": np.arange(90, 120)}), split={"val": 0.2, "seed": 0})
    card = prepared.card
    assert card["counts"] == {"train": 66, "val": 24, "test": 30}
    assert card["class_counts"] == {"train": [22, 22, 22], "val": [8, 8, 8], "test": [10, 10, 10]}
    assert card["split"] == {"val": 0.2, "seed": 0, "own": ["test"]}
    assert prepared.facts == {"shape": [1, 8, 8], "num_classes": 3}
    assert prepared.index("test").tolist() == list(range(90, 120))


def test_data_without_classes_has_no_number_of_them(tmp_path):
    prepared = prepare(tmp_path / "d", InMemory(Raw({"image": noise(40)[0]})))
    assert prepared.facts == {"shape": [1, 8, 8], "num_classes": None}
    assert prepared.card["class_counts"] is None


def test_some_classes_are_a_data_set_of_their_own(tmp_path):
    some = prepare(tmp_path / "some", classes=[2, 0])
    assert some.card["classes"] == ["class 2", "class 0"]
    assert some.facts["num_classes"] == 2
    assert some.card["content"] != prepare(tmp_path / "whole").card["content"]


def test_names_of_examples_are_kept_and_decide_nothing(tmp_path):
    image, target = noise(120)
    named = Arrays(image, target, names=[f"{number % 3}/{number}.png" for number in range(120)])
    prepared = prepare(tmp_path / "d", named)
    assert prepared.names[7] == "1/7.png"
    assert prepare(tmp_path / "some", named, classes=[2, 0]).names[:3] == ["0/0.png", "2/2.png", "0/3.png"]
    nameless = prepare(tmp_path / "nameless", Arrays(image, target))
    assert nameless.names is None
    assert nameless.card == prepared.card
    with pytest.raises(InputError, match="expected a name for each of 120 rows; received 2"):
        prepare(tmp_path / "wrong", Arrays(image, target, names=["a", "b"]))


def test_classes_with_too_few_examples_are_named(tmp_path, capsys):
    image, _ = noise(60)
    target = np.zeros(60, dtype=np.int64)
    target[[0, 20]] = 1  # none in test
    target[5] = 2
    target[[12, 13]] = 4  # in val alone
    splits = {"train": np.arange(10), "val": np.arange(10, 40), "test": np.arange(40, 60)}
    card = prepare(tmp_path / "d", Arrays(image, target, num_classes=5, splits=splits)).card
    assert card["notes"] == [
        "1 class has no example: class 3.",
        "1 class has one example: class 2.",
        "1 class has no example in train: class 4.",
        "2 classes have no example in test: class 1, class 4.",
    ]
    assert "data: noise: 1 class has no example: class 3.\n" in capsys.readouterr().err


def test_what_a_source_says_of_its_data_is_printed_and_kept(tmp_path, capsys):
    card = prepare(tmp_path / "d", Arrays(*noise(120), notes=["3 files are left out."])).card
    assert card["notes"] == ["3 files are left out."]
    assert capsys.readouterr().err == "data: noise: 3 files are left out.\n"


def test_pieces_of_an_example_stay_in_one_split(tmp_path):
    prepared = prepare(tmp_path / "d", pieces(), split={"val": 2, "test": 0.25, "seed": 0})
    assert prepared.card["counts"] == {"train": 35, "val": 10, "test": 15}
    assert len(set(prepared.array("group")[prepared.index("val")])) == 2
    assert prepared.names[3] == "picture 3"


def test_statistics_are_those_of_the_training_split(tmp_path):
    image, target = noise(120, shape=(2, 6, 5))
    splits = {"train": np.arange(60), "val": np.arange(60, 90), "test": np.arange(90, 120)}
    statistics = prepare(tmp_path / "d", Arrays(image, target, splits=splits)).card["statistics"]["image"]
    train = image[:60] / 255
    assert np.allclose(statistics["mean"], train.mean(axis=(0, 2, 3)), atol=1e-12)
    assert np.allclose(statistics["std"], train.std(axis=(0, 2, 3)), atol=1e-12)
    assert not np.allclose(statistics["mean"], image.mean(axis=(0, 2, 3)) / 255, atol=1e-6)


def test_the_deviation_of_constant_pictures_is_not_zero(tmp_path):
    image = np.full((12, 1, 2, 2), 7, dtype=np.uint8)
    card = prepare(tmp_path / "d", Arrays(image, np.arange(12) % 3), max_duplicates=1.0).card
    assert card["statistics"]["image"]["std"][0] > 0


def test_arrays_are_those_of_the_source_and_mapped_from_disk(tmp_path):
    source = Arrays(*noise(120))
    prepared = prepare(tmp_path / "d", source)
    for name, array in source.raw.arrays.items():
        assert isinstance(prepared.array(name), np.memmap)
        assert np.array_equal(prepared.array(name), array)


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="split=valid: expected one of train, val, test"):
        prepare(tmp_path / "d").index("valid")


def test_the_content_is_a_hash_of_arrays_split_and_classes(tmp_path):
    image, target = noise(120)
    changed = image.copy()
    changed[0, 0, 0, 0] ^= 1
    sources = {
        "same": Arrays(image, target),
        "again": Arrays(image.copy(), target.copy()),
        "a pixel": Arrays(changed, target),
        "a label": Arrays(image, np.roll(target, 1)),
        "one more class": Arrays(image, target, num_classes=4),
    }
    contents = {name: prepare(tmp_path / name, source).card["content"] for name, source in sources.items()}
    contents["another split"] = prepare(tmp_path / "split", split={**SPLIT, "seed": 1}).card["content"]
    assert contents.pop("again") == contents["same"]
    assert len(set(contents.values())) == len(contents)


class Failing:
    """A source whose file cannot be read."""

    def state(self) -> str:
        return ""

    def read(self) -> Raw:
        raise OSError("half-way")


def test_an_existing_folder_is_opened_and_not_written(tmp_path):
    prepare(tmp_path / "d")
    before = digests(tmp_path / "d")
    prepare(tmp_path / "d", Failing())
    assert digests(tmp_path / "d") == before


@pytest.mark.parametrize("source", [Failing(), Arrays(noise(30)[0], noise(29)[1])])
def test_a_source_that_fails_or_is_refused_leaves_nothing(tmp_path, source):
    with pytest.raises((OSError, InputError)):
        prepare(tmp_path / "d", source)
    assert not list(tmp_path.iterdir())


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from tests.data.prepared import prepare
from tests.pictures import Arrays, noise
source = Arrays(*noise(120))
source.raw.arrays["more"] = np.zeros((120, 100))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # enough for the pictures, but not for what follows
prepare(Path(sys.argv[1]), source)
"""


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "d")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_simultaneous_processes_write_one_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3, timeout=120)
    processes = [context.Process(target=prepare_together, args=(tmp_path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert Counter(path.is_dir() for path in tmp_path.iterdir()) == {True: 40}
    for folder in tmp_path.iterdir():
        assert json.loads((folder / "card.json").read_text())["counts"] == {"train": 66, "val": 24, "test": 30}


def prepare_together(root: Path, barrier: Any) -> None:
    """Prepares forty folders, each at the same moment as the other processes."""

    class Waiting(Arrays):
        def read(self) -> Raw:
            barrier.wait()
            return super().read()

    for number in range(40):
        barrier.wait()
        prepared = prepare(root / f"{number}", Waiting(*noise(120)))
        assert len(prepared.array("image")) == 120


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
