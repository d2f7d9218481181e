"""Pictures and classes in arrays of numpy."""

from pathlib import Path

import numpy as np
import pytest

from src.config import assembly, command_line
from src.data.sources.arrays import Arrays
from src.errors import InputError

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (30, 8, 6), dtype=np.uint8), np.arange(30) % 3
TWO = {"train": ["images", "labels"], "val": None, "test": None}


def file(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "set.npz", **{"images": IMAGES, "labels": LABELS, **arrays})
    return str(folder / "set.npz")


def read(path: str, **arrays):
    return Arrays(file=path, arrays={**TWO, **arrays}).read()


@pytest.mark.parametrize(
    "images",
    [IMAGES, IMAGES[..., None], IMAGES[:, None], IMAGES.astype(np.int64), IMAGES / 255, (IMAGES / 255).astype(np.float32)],
    ids=["plain", "channels last", "channels first", "wide integers", "doubles", "floats"],
)
def test_pictures_of_each_form_are_stored_alike(tmp_path, images):
    raw = read(file(tmp_path, images=images))
    assert np.array_equal(raw.arrays["image"], IMAGES[:, None])
    assert raw.arrays["target"].tolist() == LABELS.tolist()
    assert (raw.classes, raw.splits) == (["0", "1", "2"], {})


def test_colours_may_come_last(tmp_path):
    colours = RNG.integers(0, 256, (30, 8, 6, 3), dtype=np.uint8)
    assert np.array_equal(read(file(tmp_path, images=colours)).arrays["image"], colours.transpose(0, 3, 1, 2))


def test_a_folder_of_arrays_and_splits_of_their_own(tmp_path):
    for name, values in {"x_train": IMAGES, "y_train": LABELS[:, None], "x_test": IMAGES[:9], "y_test": LABELS[:9]}.items():
        np.save(tmp_path / f"{name}.npy", values)
    source = Arrays(file=str(tmp_path), arrays={"train": ["x_train", "y_train"], "val": None, "test": ["x_test", "y_test"]})
    raw = source.read()
    assert {split: (rows[0], len(rows)) for split, rows in raw.splits.items()} == {"train": (0, 30), "test": (30, 9)}
    before = source.state()
    np.save(tmp_path / "x_test.npy", np.zeros((9, 8, 6), dtype=np.float64))
    assert source.state() != before


@pytest.mark.parametrize(
    ("arrays", "names", "message"),
    [
        ({}, {"train": ["pictures", "labels"]}, r"expected an array pictures, as data\.arrays says; it has images, labels"),
        ({"labels": LABELS[:9]}, {}, "as many classes as pictures, and at least one; images has 30 and labels 9"),
        ({"labels": LABELS / 2}, {}, r"labels: expected a class as a whole number from 0 .*, 0\.5 in row 1"),
        (
            {"labels": np.where(LABELS > 0, np.nan, 0.0)},
            {},
            "labels: expected a class as a whole number from 0 .*, nan in row 1",
        ),
        ({"labels": LABELS * 10**9}, {}, r"numbered 0, 1, 2 and so on; received 2000000000 in row 2, of 30 examples\. Number"),
        (
            {"images": np.where(IMAGES > 9, np.nan, 0.0)},
            {},
            "images: expected bytes, or numbers from 0 to 1; received float64 from",
        ),
        ({"labels": LABELS - 1}, {}, "labels: expected a class as a whole number from 0 .*, -1 in row 0"),
        ({"labels": np.array(["a", "b", "c"] * 10)}, {}, "labels: expected a class as a whole number from 0"),
        ({"labels": np.array([1, None, 2] * 10, dtype=object)}, {}, "expected plain numbers in labels; it cannot be read"),
        ({"images": IMAGES - 128.0}, {}, "images: expected bytes, or numbers from 0 to 1; received float64 from -128"),
        ({"images": IMAGES[0]}, {}, r"as many classes as pictures"),
        ({"images": np.zeros((30, 4))}, {}, r"images: expected pictures; received an array of shape \[30, 4\]"),
        ({"more": IMAGES[:, :4]}, {"test": ["more", "labels"]}, "pictures of one size in all splits; received 1x4x6 and 1x8x6"),
        ({}, {"train": None}, r"data\.arrays: expected for train, and perhaps for val and test, two names"),
        ({}, {"train": ["images"]}, r"data\.arrays: expected for train"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, names, message):
    with pytest.raises(InputError, match=message):
        read(file(tmp_path, **arrays), **names)


def test_what_is_no_file_of_arrays_is_refused(tmp_path):
    whole = Path(file(tmp_path)).read_bytes()
    (tmp_path / "set.npz").unlink()
    for content, message in (
        (None, "there is none"),
        (whole[:300], "expected a whole file .npz of plain arrays; received another"),
        (whole[:400] + bytes([whole[400] ^ 1]) + whole[401:], "plain numbers in images; it cannot be read: Bad CRC"),
        (b"text", "expected a whole file .npz"),
        (b"PK", "expected a whole file"),
    ):
        if content is not None:
            (tmp_path / "set.npz").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(str(tmp_path / "set.npz"))
    np.save(tmp_path / "one.npy", IMAGES)
    with pytest.raises(InputError, match="received a single array"):
        read(str(tmp_path / "one.npy"))


def test_it_is_prepared_by_its_configuration(project):
    path = file(project)
    config = command_line.configure(
        ["data=image_arrays", f"data.file={path}", "data.labels=[ant,bee,cat]", "data.dataset.max_duplicates=1"]
    )
    prepared = assembly.prepare(config)
    assert prepared.card["classes"] == ["ant", "bee", "cat"]
    assert prepared.facts == {"shape": [1, 8, 6], "num_classes": 3}
