"""A prepared data set: its split, its card, and that it is never half there.

It is long, for every case is a property or a refusal of the one function `prepare`.
"""

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
from hypothesis import given
from hypothesis import strategies as st

from src.data import store
from src.data.raw import Raw
from src.data.splitting import PARTS, stratified
from src.data.store import Prepared
from src.errors import InputError
from tests.pictures import Arrays, noise
from tests.repository import ROOT

SPLIT = {"val": 0.2, "test": 0.25, "seed": 0}


def prepare(folder: Path, source: Any = None, *, split: dict[str, Any] | None = None, max_duplicates: float = 0.0) -> Prepared:
    source = source or Arrays(*noise(120))
    return store.prepare(folder, source, name="noise", split=split or SPLIT, max_duplicates=max_duplicates)


@pytest.mark.parametrize(("val", "test"), [(0.2, 0.25), (24, 30), (0.2, 30), (1, 1)])
def test_parts_have_exactly_the_size_that_is_asked_for(tmp_path, val, test):
    prepared = prepare(tmp_path / "d", split={"val": val, "test": test, "seed": 0})
    sizes = {part: len(prepared.index(part)) for part in PARTS}
    expected = {"val": 24 if val != 1 else 1, "test": 30 if test != 1 else 1}
    assert sizes == {"train": 120 - sum(expected.values()), **expected}
    assert prepared.card["counts"] == sizes
    rows = np.concatenate([prepared.index(part) for part in PARTS])
    assert sorted(rows) == list(range(120))
    for part in PARTS:
        assert np.array_equal(prepared.index(part), np.sort(prepared.index(part)))


@given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=6), data=st.data())
def test_every_class_has_its_share_to_within_one_example(counts, data):
    labels = np.repeat(np.arange(len(counts)), counts)
    wanted = data.draw(st.integers(1, len(labels) - 1))
    chosen = stratified(np.random.default_rng(0), np.arange(len(labels)), labels, wanted)
    assert len(set(chosen)) == wanted
    for label, count in enumerate(counts):
        share = count * wanted / len(labels)
        assert abs((labels[chosen] == label).sum() - share) < 1


def test_the_split_is_stratified_on_disk_too(tmp_path):
    card = prepare(tmp_path / "d").card
    assert card["class_counts"] == {"train": [22, 22, 22], "val": [8, 8, 8], "test": [10, 10, 10]}


def test_the_split_depends_on_the_seed_alone(tmp_path):
    one, same, other = (
        prepare(tmp_path / f"{i}", split={**SPLIT, "seed": seed}).index("test") for i, seed in enumerate((0, 0, 1))
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_parts_of_the_data_set_itself_are_kept(tmp_path):
    own = {"train": np.arange(90), "test": np.arange(90, 120)}
    prepared = prepare(tmp_path / "d", Arrays(*noise(120), parts=own), split={"val": 9, "test": 50, "seed": 0})
    assert np.array_equal(prepared.index("test"), own["test"])
    assert len(prepared.index("val")) == 9
    assert set(prepared.index("val")) | set(prepared.index("train")) == set(range(90))
    assert prepared.card["split"]["own"] == ["test", "train"]


def test_a_share_is_one_of_all_examples(tmp_path):
    own = {"test": np.arange(90, 120)}
    prepared = prepare(tmp_path / "d", Arrays(*noise(120), parts=own), split={"val": 0.2, "seed": 0})
    assert prepared.card["counts"] == {"train": 66, "val": 24, "test": 30}


def test_statistics_are_those_of_the_training_part(tmp_path):
    image, target = noise(120, shape=(2, 6, 5))
    prepared = prepare(tmp_path / "d", Arrays(image, target))
    statistics = prepared.card["statistics"]["image"]
    train = image[prepared.index("train")] / 255
    assert np.allclose(statistics["mean"], train.mean(axis=(0, 2, 3)), atol=1e-12)
    assert np.allclose(statistics["std"], train.std(axis=(0, 2, 3)), atol=1e-12)
    assert not np.allclose(statistics["mean"], image.mean(axis=(0, 2, 3)) / 255, atol=1e-6)


def test_other_parts_do_not_move_the_statistics(tmp_path):
    image, target = noise(120)
    own = {"train": np.arange(60), "val": np.arange(60, 90), "test": np.arange(90, 120)}
    before = prepare(tmp_path / "1", Arrays(image, target, parts=own)).card["statistics"]
    changed = image.copy()
    changed[60:] = 255 - changed[60:]
    assert prepare(tmp_path / "2", Arrays(changed, target, parts=own)).card["statistics"] == before


def test_constant_pictures_have_a_deviation_that_can_be_divided_by(tmp_path):
    image = np.full((12, 1, 2, 2), 7, dtype=np.uint8)
    card = prepare(tmp_path / "d", Arrays(image, np.arange(12) % 3), max_duplicates=1.0).card
    assert card["statistics"]["image"]["std"][0] > 0


def with_copies(count: int) -> Arrays:
    """Ten rows of each of val and test, of which so many of test stand in train."""
    image, target = noise(60)
    own = {"train": np.arange(40), "val": np.arange(40, 50), "test": np.arange(50, 60)}
    image[50 : 50 + count] = image[:count]
    return Arrays(image, target, parts=own)


def test_duplicates_are_counted(tmp_path):
    card = prepare(tmp_path / "d", with_copies(3), max_duplicates=0.3).card
    assert card["duplicates"] == {"val in train": 0, "test in train": 3, "test in val": 0}


def test_too_many_duplicates_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"3 of 10 examples of test \(30.0%\) stand in train too.*max_duplicates"):
        prepare(tmp_path / "d", with_copies(3), max_duplicates=0.2)
    assert not list(tmp_path.iterdir())


def pieces(copies: int = 0) -> Any:
    """Twelve pictures in five pieces each, all with one piece alike; of so many all are those of another one."""
    image, target = noise(60)
    image[::5] = 7
    group = np.repeat(np.arange(12), 5)
    for number in range(copies):
        image[group == 11 - number] = image[group == number]

    class Source:
        def state(self) -> str:
            return ""

        def read(self) -> Raw:
            arrays = {"image": image, "target": target, "group": group}
            return Raw(arrays=arrays, classes=["a", "b", "c"], groups=[f"picture {i}" for i in range(12)])

    return Source()


def test_one_label_may_be_there_or_not(tmp_path):
    image, _ = noise(40)
    flags = (np.arange(40) % 2).astype(np.uint8)[:, None]
    prepared = prepare(tmp_path / "d", raw(image, flags, ["there"]))
    assert prepared.card["classes"] == ["there"]
    assert prepared.array("target").sum() == 20


def test_pieces_of_a_picture_stay_in_one_part(tmp_path):
    prepared = prepare(tmp_path / "d", pieces(), split={"val": 2, "test": 0.25, "seed": 0})
    assert prepared.card["counts"] == {"train": 35, "val": 10, "test": 15}
    group = np.repeat(np.arange(12), 5)
    wholes = [set(group[prepared.index(part)]) for part in PARTS]
    assert [len(numbers) for numbers in wholes] == [7, 2, 3]
    assert set.union(*wholes) == set(range(12))
    assert prepared.card["groups"][3] == "picture 3"
    assert set(prepared.card["duplicates"].values()) == {0}, "pieces alike are no copies of a picture"


def test_a_part_that_pieces_state_is_kept(tmp_path):
    source = pieces()
    stated = source.read()
    source.read = lambda: Raw(**{**vars(stated), "parts": {"test": np.arange(55, 60)}})
    prepared = prepare(tmp_path / "d", source, split={"val": 1, "seed": 0})
    assert prepared.index("test").tolist() == list(range(55, 60))
    assert prepared.card["counts"] == {"train": 50, "val": 5, "test": 5}


def test_copies_of_whole_pictures_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"examples of (val|test) \([0-9.]+%\) stand in"):
        prepare(tmp_path / "d", pieces(6), split={"val": 3, "test": 4, "seed": 0})


def raw(image: np.ndarray, target: np.ndarray | None, classes: list[str] | None) -> Any:
    arrays = {"image": image, **({} if target is None else {"target": target})}

    class Source:
        def state(self) -> str:
            return ""

        def read(self) -> Raw:
            return Raw(arrays=arrays, classes=classes)

    return Source()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Arrays(*noise(30), num_classes=2), r"labels from 0 to 1 \(2 classes\); received 2 in row 2, 10 such labels"),
        (Arrays(noise(30)[0], noise(30)[1] - 1), "labels from 0 to 2 .*received -1 in row 0"),
        (Arrays(noise(30)[0], np.zeros(30, dtype=np.int64)), "at least two classes"),
        (Arrays(noise(0)[0], noise(0)[1]), "at least one; received {'image': 0, 'target': 0}"),
        (Arrays(noise(30)[0], noise(29)[1]), "as many rows in each array.*received {'image': 30, 'target': 29}"),
    ],
)
def test_data_that_cannot_be_right_is_refused(tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "d", source)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"val": 0, "test": 0.2}, r"val part of 1 to 95 examples; data.dataset.split.val=0 makes 0 of 120"),
        ({"test": 0.2}, "val part of 1 to 95"),
        ({"val": 0.2, "test": 120}, "test part of 1 to 119 examples.*makes 120 of 120"),
        ({"val": 0.5, "test": 0.5}, "val part of 1 to 59"),
        ({"val": -5, "test": 5}, "makes -5 of 120"),
        ({"val": 1.0, "test": 5}, r"split\.val: expected a share below 1, or .*; received 1\.0\. For 1 of them write 1\."),
    ],
)
def test_a_split_that_leaves_nothing_is_refused(tmp_path, split, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "d", split={**split, "seed": 0})


def test_data_without_classes_is_split_all_the_same(tmp_path):
    image, _ = noise(40)
    prepared = prepare(tmp_path / "d", raw(image, None, None))
    assert prepared.card["counts"] == {"train": 22, "val": 8, "test": 10}
    assert prepared.facts == {"shape": [1, 8, 8], "num_classes": None}
    assert prepared.card["class_counts"] is None


def test_facts_come_from_the_card(tmp_path):
    assert prepare(tmp_path / "d").facts == {"shape": [1, 8, 8], "num_classes": 3}


def test_arrays_are_what_the_source_read_and_mapped_from_disk(tmp_path):
    source = Arrays(*noise(120))
    prepared = prepare(tmp_path / "d", source)
    assert isinstance(prepared.array("image"), np.memmap)
    assert np.array_equal(prepared.array("image"), source.raw.arrays["image"])
    assert np.array_equal(prepared.array("target"), source.raw.arrays["target"])


def test_an_unknown_part_is_refused(tmp_path):
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
        "a class more": Arrays(image, target, num_classes=4),
    }
    found = {name: prepare(tmp_path / name, source).card["content"] for name, source in sources.items()}
    found["another split"] = prepare(tmp_path / "split", split={**SPLIT, "seed": 1}).card["content"]
    assert found.pop("again") == found["same"]
    assert len(set(found.values())) == len(found)


def test_a_prepared_folder_is_opened_not_made_again(tmp_path):
    prepare(tmp_path / "d")
    before = digests(tmp_path / "d")
    prepare(tmp_path / "d", Failing("never read"))
    assert digests(tmp_path / "d") == before


class Failing:
    def __init__(self, message: str):
        self.message = message

    def state(self) -> str:
        return ""

    def read(self) -> Raw:
        raise OSError(self.message)


def test_a_source_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="half-way"):
        prepare(tmp_path / "d", Failing("half-way"))
    assert not list(tmp_path.iterdir())


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from src.data import store
from tests.pictures import Arrays, noise
source = Arrays(*noise(120))
source.raw.arrays["more"] = np.zeros((120, 100))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # enough for the pictures, but not for what follows
split = {"val": 0.2, "test": 0.2, "seed": 0}
store.prepare(Path(sys.argv[1]), source, name="noise", split=split, max_duplicates=0.0)
"""


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "d")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert not list(tmp_path.iterdir())


def test_processes_at_once_make_one_folder(tmp_path):
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


def test_some_classes_become_a_data_set_of_their_own(tmp_path):
    image, target = noise(120)
    source = Arrays(image, target, parts={"test": np.arange(90, 120)})
    settings: dict[str, Any] = {"name": "noise", "split": {"val": 0.2, "seed": 0}, "max_duplicates": 0.0}
    some = store.prepare(tmp_path / "some", source, classes=[2, 0], **settings)
    assert some.card["classes"] == ["class 2", "class 0"]
    assert some.facts["num_classes"] == 2
    assert np.array_equal(some.array("image"), image[target != 1])
    assert np.array_equal(some.array("target"), np.where(target[target != 1] == 2, 0, 1))
    assert some.card["class_counts"] == {"train": [22, 22], "val": [8, 8], "test": [10, 10]}
    assert np.array_equal(some.array("image")[some.index("test")], image[90:][target[90:] != 1])
    whole = store.prepare(tmp_path / "whole", source, **settings)
    assert some.card["content"] != whole.card["content"]


@pytest.mark.parametrize("classes", [[0], [0, 3], [0, 0], [-1, 0], []])
def test_classes_that_are_not_there_are_refused(tmp_path, classes):
    with pytest.raises(InputError, match=r"data\.dataset\.classes: expected two or more of 0 to 2, each once; received"):
        store.prepare(tmp_path / "d", Arrays(*noise(60)), name="noise", split=SPLIT, max_duplicates=0.0, classes=classes)
    assert not list(tmp_path.iterdir())


def test_classes_are_not_chosen_among_several_labels(tmp_path):
    image, _ = noise(60)
    source = Arrays(image, np.eye(3, dtype=np.uint8)[np.arange(60) % 3])
    with pytest.raises(InputError, match=r"expected examples with one class each; those of noise have none or several"):
        store.prepare(tmp_path / "d", source, name="noise", split=SPLIT, max_duplicates=0.0, classes=[0, 1])
