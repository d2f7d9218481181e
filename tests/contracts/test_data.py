"""What every data set of conf/data must do."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from src.config import assembly, checks, composition
from src.data.base import Data
from src.data.splitting import SPLITS
from src.data.store import Prepared
from src.data.texts import Texts
from src.data.token_stream import TokenStream
from src.errors import InputError
from tests import discs, streams, texts
from tests.contracts.shipped import shipped
from tests.repository import ROOT

DATA, SHIPPED = checks.options("data"), shipped("data")


@pytest.fixture
def pictures(project) -> Path:
    """Where conf/data/image_folder and image_table look by default: two classes of twelve pictures."""
    lines = []
    rng = np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        (project / "data/raw/images" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.normal(level, 20, (20, 14, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(project / "data/raw/images" / label / f"{number}.png")
            lines.append(f"images/{label}/{number}.png,{label}")
    table = ["path,label", *sorted(lines)]  # in the order of the folder's files
    (project / "data/raw/images.csv").write_text("\n".join(table))
    return project


@pytest.fixture
def masks(project) -> Path:
    """Where conf/data/mask_folder looks by default: twelve pictures with masks."""
    discs.write(project / "data/raw/masks")
    return project


@pytest.fixture
def stream(project) -> Path:
    """Where conf/data/text_stream looks by default: a text."""
    streams.write(project / "data/raw/text.txt")
    return project


@pytest.fixture
def table(project) -> Path:
    """Where conf/data/text looks by default: forty-five texts of three classes."""
    texts.write(project / "data/raw/texts.csv", 45)
    return project


@pytest.fixture
def arrays(project) -> Path:
    """Where conf/data/image_arrays looks by default: twelve pictures of two classes."""
    (project / "data/raw").mkdir(parents=True, exist_ok=True)
    np.savez(project / "data/raw/images.npz", images=np.zeros((12, 8, 8), dtype=np.uint8), labels=np.arange(12) % 2)
    return project


def test_the_data_sets_that_are_promised_are_there():
    assert {"digits", "fashion_mnist", "mnist", "image_folder", "isbi2012", "mask_folder", "canvases"} <= set(DATA)


@pytest.mark.parametrize("name", DATA)
def test_it_composes_with_the_default_model_or_one_of_its_kind(name):
    own = composition.compose([f"data={name}"]).data
    texts, stream = "vocabulary" in own, "context" in own
    config = composition.compose([f"data={name}", *(["model=gpt" if stream else "model=textcnn"] if texts else [])])
    known = {"shape": [3, 16, 16], "num_classes": 5, "vocabulary": 9, "padding": 0}
    facts = {key: value for key, value in known.items() if config.data.get(key, 0) is None}
    resolved = composition.resolve(config, facts=facts)
    if texts:
        assert resolved.model.vocabulary == resolved.data.vocabulary
    else:
        assert resolved.model.input_shape == resolved.data.shape
    if not stream:
        assert resolved.model.num_outputs == resolved.data.num_classes
    assert resolved.data.batch_size >= 1


@pytest.mark.parametrize("name", SHIPPED)
def test_its_prepared_folder_has_its_name_and_its_split_a_seed(name):
    dataset = composition.compose([f"data={name}"]).data.dataset
    assert dataset.name == name
    assert "seed" in dataset.split


@pytest.mark.parametrize("name", SHIPPED)
def test_a_comment_says_what_it_is(name):
    text = (checks.CONF / "data" / f"{name}.yaml").read_text()
    assert re.match(r"# .{20,}", text)


@pytest.mark.parametrize("name", DATA)
def test_its_source_has_a_stable_state(name, pictures, masks, arrays, table, stream, monkeypatch):
    node = assembly.plain(composition.compose([f"data={name}"]), "data.dataset.source")
    if name == "text":
        node["columns"].update(target="label", split="part")
    if name == "torch_dataset":  # the class is the user's to name
        node["dataset"]["_target_"] = "torchvision.datasets.FakeData"
    if name not in SHIPPED:  # a user's files lie where the user says
        monkeypatch.chdir(ROOT)
        try:
            instantiate(node).state()
        except (InputError, InstantiationException) as error:
            pytest.skip(f"its files are not here: {error}")
    states = [instantiate(node).state() for _ in range(2)]
    assert states[0] == states[1]
    assert states[0]


def test_shakespeare_is_divided_as_it_is_published(data_cache, cache):
    config = composition.compose(["data=tiny_shakespeare", "model=gpt", "task=language_modelling"])
    prepared = assembly.prepare(config)
    content: Any = OmegaConf.to_container(assembly.complete(config, prepared))
    data = assembly.data_of(content, prepared)
    assert isinstance(data, TokenStream)
    whole = (cache / "tiny-shakespeare/input.txt").read_text()
    begin = data.rows("val")[0]
    assert begin == 1_003_854
    assert data.text(0, 10**7) + data.text(begin, 10**7) == whole
    assert content["data"]["vocabulary"] == 65 + len(data.tokenizer.special)
    assert data.rows("test").tolist() == data.rows("val").tolist()


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_downloaded_has_its_hash(name):
    source = assembly.plain(composition.compose([f"data={name}"]), "data.dataset.source")
    source = source["files"] if "_target_" in source.get("files", {}) else source
    for file, digest in source.get("files", {}).items():
        assert re.fullmatch(r"[0-9a-f]{64}", digest), file
    for mirror in source.get("mirrors", []):
        assert re.fullmatch(r"https?://.+/", mirror)
    assert ("files" in source) == ("mirrors" in source)


def check_prepared(config: Any, prepared: Prepared) -> None:
    """The prepared data fits its configuration, and a batch of it what the configuration says."""
    resolved = assembly.complete(config, prepared)
    rows = np.concatenate([prepared.index(split) for split in SPLITS])
    assert sorted(rows) == list(range(len(prepared.array("image"))))
    assert assembly.prepare(config).folder == prepared.folder  # opened, not prepared again
    content: Any = OmegaConf.to_container(resolved)
    settings = {key: value for key, value in content["data"].items() if key not in assembly.PREPARING}
    data = instantiate(settings, _partial_=True)(prepared=prepared)
    chosen = data.rows("train")[:8]
    pixels = data.normalise(data.inputs(chosen))
    assert pixels.shape == (8, *content["data"]["shape"])
    assert pixels.dtype == np.float32
    targets = data.targets(data.rows("train"))
    flags = targets.ndim == 2  # one for each label, instead of a class for each example or pixel
    assert set(np.unique(targets)) == ({0, 1} if flags else set(range(content["data"]["num_classes"])))
    assert not flags or targets.shape[1] == content["data"]["num_classes"]
    assert len(data.classes) == content["data"]["num_classes"]
    everything = data.normalise(data.inputs(data.rows("train")[:2000]))
    assert abs(everything.mean()) < 0.1
    assert everything.std() == pytest.approx(1, abs=0.1)
    shown = data.show(int(chosen[0])).pixels
    assert (shown.dtype, shown.shape[:2]) == (np.uint8, data.shape[1:])
    check_assemble(data, data.rows("val"), content["data"]["num_classes"])


def check_assemble(data: Data, rows: np.ndarray, num_classes: int) -> None:
    """Predictions in batches of any size are scored by example, each example exactly once."""
    truth = data.targets(rows)
    flags = truth.ndim == 2
    truth = truth if flags else np.moveaxis(np.eye(num_classes, dtype=np.float32)[truth], -1, 1)
    for together in (3, len(rows)):
        batches = ({"output": truth[i : i + together]} for i in range(0, len(rows), together))
        examples = list(data.assemble(rows, batches))
        numbers = np.concatenate([index for index, _, _ in examples])
        assert len(set(numbers)) == len(numbers)
        for index, outputs, target in examples:
            assert len(index) == len(outputs["output"]) == len(target)
            assert np.array_equal(outputs["output"] if flags else outputs["output"].argmax(axis=1), target)


def test_digits_are_prepared(digits):
    check_prepared(*digits)
    _, prepared = digits
    assert prepared.card["counts"] == {"train": 1168, "val": 270, "test": 359}
    assert prepared.card["classes"] == [str(digit) for digit in range(10)]
    assert min(prepared.card["class_counts"]["test"]) >= 34
    assert prepared.array("image").max() == 255


@pytest.mark.slow
def test_fashion_mnist_is_prepared(fashion_mnist, data_cache):
    check_prepared(*fashion_mnist)
    card = fashion_mnist[1].card
    assert card["counts"] == {"train": 55_000, "val": 5_000, "test": 10_000}
    assert card["class_counts"]["test"] == [1000] * 10
    assert card["class_counts"]["val"] == [500] * 10
    assert card["arrays"]["image"] == {"shape": [70_000, 1, 28, 28], "dtype": "uint8"}
    assert card["classes"][9] == "Ankle boot"
    statistics = card["statistics"]["image"]
    assert (statistics["mean"], statistics["std"]) == (pytest.approx([0.2860], abs=2e-3), pytest.approx([0.3530], abs=2e-3))


@pytest.mark.parametrize("settings", [[], ["data.size=8", "data.channels=1"]])
def test_a_folder_of_pictures_is_prepared(pictures, settings):
    config = composition.compose(["data=image_folder", *settings])
    prepared = assembly.prepare(config)
    assert prepared.card["classes"] == ["dark", "light"]
    assert prepared.facts["shape"] == ([1, 8, 8] if settings else [3, 32, 32])
    check_prepared(config, prepared)
    (folder,) = (pictures / "data/prepared").iterdir()
    assert folder.name.startswith("image_folder-")


def test_a_table_of_pictures_is_prepared_as_their_folder(pictures):
    config = composition.compose(["data=image_table"])
    prepared = assembly.prepare(config)
    check_prepared(config, prepared)
    folder = assembly.prepare(composition.compose(["data=image_folder"]))
    assert [f"images/{name}" for name in folder.names] == list(prepared.names)
    for name in ("image", "target", "train.index", "val.index", "test.index"):
        assert np.array_equal(prepared.array(name), folder.array(name))


@pytest.mark.slow
def test_canvases_are_prepared(canvases):
    config, prepared = canvases
    check_prepared(config, prepared)
    assert prepared.card["counts"] == {"train": 4200, "val": 600, "test": 1200}
    assert min(prepared.card["class_counts"]["test"]) > 100
    assert (prepared.array("target").sum(axis=1) >= 1).all()
    assert prepared.array("target").sum(axis=1).max() == 3


def test_turned_digits_are_prepared(rotated_digits):
    config, prepared = rotated_digits
    resolved = assembly.complete(config, prepared)
    assert (resolved.model.num_outputs, prepared.card["target_names"]) == (1, ["angle"])
    assert prepared.card["counts"] == {"train": 350, "val": 50, "test": 100}
    angle, image = prepared.array("target")[:, 0], prepared.array("image")[:, 0].astype(np.float64)
    assert -45 <= angle.min() < -40 < 40 < angle.max() <= 45
    train = angle[prepared.index("train")]
    assert list(resolved.task["mean"]) == pytest.approx([train.mean()], abs=1e-4)
    assert list(resolved.task["std"]) == pytest.approx([train.std()], rel=1e-5)
    # The mean picture of those that are turned counterclockwise leans to the left.
    y, x = np.mgrid[-9.5:10, -9.5:10]
    lean = [(image[rows].mean(axis=0) * x * y).sum() for rows in (angle > 20, angle < -20)]
    assert lean[0] > 0 > lean[1]


def test_film_reviews_are_prepared(sentence_polarity):
    config, prepared = sentence_polarity
    card = prepared.card
    assert (card["classes"], sum(card["counts"].values())) == (["negative", "positive"], 10_662)
    assert [sum(own) for own in zip(*card["class_counts"].values(), strict=True)] == [5331, 5331]
    content: Any = OmegaConf.to_container(assembly.complete(config, prepared))
    data = assembly.data_of(content, prepared)
    assert isinstance(data, Texts)
    assert [data.text(row)[:12] for row in (0, 10_661)] == ["simplistic ,", "provides a p"]
    assert data.tokenizer.decode(data.examples(np.array([0]))["tokens"][0]) == "simplistic , silly and tedious ."


@pytest.mark.slow
def test_membranes_are_prepared(isbi2012, data_cache):
    config, prepared = isbi2012
    check_prepared(config, prepared)
    group, card = prepared.array("group"), prepared.card
    assert [card["groups"][number] for number in np.unique(group[prepared.index("test")])] == [str(n) for n in range(24, 30)]
    assert [card["groups"][number] for number in np.unique(group[prepared.index("val")])] == [str(n) for n in range(20, 24)]
    assert card["counts"] == {"train": 500, "val": 100, "test": 150}


@pytest.mark.parametrize("settings", [[], ["data.labels={0:ground,100:disc,200:square}", "data.splits={test:[3,11]}"]])
def test_a_folder_of_pictures_with_masks_is_prepared(masks, settings):
    config = composition.compose(["data=mask_folder", "data.tile=16", "data.stride=16", "data.channels=1", *settings])
    prepared = assembly.prepare(config)
    check_prepared(config, prepared)
    assert prepared.card["classes"] == (["ground", "disc", "square"] if settings else ["0", "100", "200"])
    wholes = [set(prepared.array("group")[prepared.index(split)]) for split in SPLITS]
    assert sum(map(len, wholes)) == 12, "an image is in two splits"
    if settings:
        assert wholes[2] == {3, 11}


def test_an_edit_of_the_pictures_makes_another_folder(pictures):
    config = composition.compose(["data=image_folder"])
    before = assembly.prepare(config)
    path = pictures / "data/raw/images/dark/0.png"
    Image.new("RGB", (16, 16), "white").save(path)
    after = assembly.prepare(config)
    assert after.folder != before.folder
    assert after.card["content"] != before.card["content"]
    assert before.folder.is_dir()


@pytest.mark.parametrize("override", ["data.dataset.split.seed=1", "data.dataset.split.val=0.1", "data.size=16"])
def test_another_way_of_preparing_makes_another_folder(pictures, override):
    folders = {assembly.prepare(composition.compose(["data=image_folder", *more])).folder for more in ([], [override])}
    assert len(folders) == 2


def test_the_batch_size_does_not(pictures):
    sizes = ([], ["data.batch_size=4"])
    assert len({assembly.prepare(composition.compose(["data=image_folder", *more])).folder for more in sizes}) == 1
