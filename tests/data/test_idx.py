"""IDX files: what is read, and what is refused."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from src.data.raw import Raw
from src.data.sources import idx
from src.data.sources.idx import IDX
from src.errors import InputError

FILES = ("train-images.gz", "train-labels.gz", "test-images.gz", "test-labels.gz")
CODES = {np.dtype(text).str.lstrip("<>|="): code for code, text in idx.DTYPES.items()}


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file, written by the description of the format."""
    code = CODES[array.dtype.str.lstrip("<>|=")]
    head = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def small() -> dict[str, np.ndarray]:
    """Eight training and four test pictures of 5x4 pixels with two classes, by file name."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (count, 5, 4)).astype(np.uint8) for count in (8, 4)]
    labels = [(np.arange(count) % 2).astype(np.uint8) for count in (8, 4)]
    return dict(zip(FILES, (pictures[0], labels[0], pictures[1], labels[1]), strict=True))


def packed() -> dict[str, bytes]:
    return {name: gzip.compress(idx_bytes(array), mtime=0) for name, array in small().items()}


@pytest.fixture
def folder(project) -> Path:
    """The downloads, with the four files in it."""
    folder = project / "downloads" / "small"
    folder.mkdir(parents=True)
    for name, content in packed().items():
        (folder / name).write_bytes(content)
    return folder


def source(project: Path, *mirrors: str, **hashes: str) -> IDX:
    files = {name: hashlib.sha256(content).hexdigest() for name, content in packed().items()}
    return IDX(
        name="small",
        folder=str(project / "downloads"),
        mirrors=mirrors or ("http://127.0.0.1:9/",),
        files={**files, **hashes},
        classes=["a", "b"],
    )


def assert_small(raw: Raw) -> None:
    train, train_labels, test, test_labels = small().values()
    assert np.array_equal(raw.arrays["image"], np.concatenate([train, test])[:, None])
    assert np.array_equal(raw.arrays["target"], np.concatenate([train_labels, test_labels]))
    assert (raw.arrays["image"].dtype, raw.arrays["target"].dtype) == (np.uint8, np.int64)
    assert raw.classes == ["a", "b"]
    assert raw.splits["train"].tolist() == list(range(8))
    assert raw.splits["test"].tolist() == [8, 9, 10, 11]


def test_four_files_are_a_data_set(project, folder):
    assert_small(source(project).read())


def test_plain_files_are_read_too(project, folder):
    contents = {name: idx_bytes(array) for name, array in small().items()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    assert_small(source(project, **{name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}).read())


def test_the_state_is_that_of_the_hashes(project):
    assert source(project).state() == source(project, "http://elsewhere/").state()
    assert source(project).state() != source(project, **{FILES[0]: "0" * 64}).state()


@pytest.mark.slow
@given(
    array=st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(max_dims=3, max_side=5))
    ),
    zipped=st.booleans(),
)
def test_an_array_survives_writing_and_reading(array, zipped):
    content = idx_bytes(array)
    parsed = idx.parse(gzip.compress(content) if zipped else content, "file")
    assert parsed.shape == array.shape
    assert parsed.dtype == array.dtype
    assert np.array_equal(parsed, array, equal_nan=array.dtype.kind == "f")


def damaged() -> dict[str, bytes]:
    whole = idx_bytes(small()[FILES[0]])
    zipped = gzip.compress(whole, mtime=0)
    flipped = bytearray(zipped)
    flipped[len(zipped) // 2] ^= 0xFF
    unknown = zipped[:10] + b"\xff" + zipped[11:]
    return {
        "empty": b"",
        "three bytes": whole[:3],
        "only the header": whole[:10],
        "truncated": whole[:-1],
        "one byte too many": whole + b"x",
        "another magic number": b"\x00\x01" + whole[2:],
        "an unknown type": whole[:2] + b"\x07" + whole[3:],
        "a web page": b"<!DOCTYPE html><html>Not found</html>",
        "gzip, truncated": zipped[:-9],
        "gzip, one byte changed": bytes(flipped),
        "gzip, an unknown kind of block": unknown,
        "gzip of nothing": gzip.compress(b""),
    }


@pytest.mark.parametrize("kind", damaged())
def test_an_incomplete_or_damaged_file_is_refused(kind):
    with pytest.raises(InputError, match=r"train\.gz: expected a complete IDX file; received [0-9]+ bytes"):
        idx.parse(damaged()[kind], "train.gz")
