"""The raw formats: what they read, and what they say of files that are damaged, missing or unreachable."""

import gzip
import hashlib
import http.server
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from src.config import assembly, composition
from src.data.sources import idx
from src.data.sources.digits import Digits
from src.data.sources.files import Published
from src.data.sources.idx import IDX
from src.errors import InputError

FILES = ("train-images.gz", "train-labels.gz", "test-images.gz", "test-labels.gz")
NOWHERE = "http://127.0.0.1:9/"  # the port of the discard service, which nothing listens to
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


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def source(project: Path, *, mirrors: tuple[str, ...] = (NOWHERE,), **hashes: str) -> IDX:
    files = {name: hashlib.sha256(content).hexdigest() for name, content in packed().items()}
    return IDX(name="small", folder=str(project / "downloads"), mirrors=mirrors, files={**files, **hashes}, classes=["a", "b"])


def check_raw(raw) -> None:
    expected = list(small().values())
    assert np.array_equal(raw.arrays["image"], np.concatenate([expected[0], expected[2]])[:, None])
    assert np.array_equal(raw.arrays["target"], np.concatenate([expected[1], expected[3]]))
    assert raw.arrays["image"].dtype == np.uint8
    assert raw.arrays["target"].dtype == np.int64
    assert raw.classes == ["a", "b"]
    assert raw.parts["train"].tolist() == list(range(8))
    assert raw.parts["test"].tolist() == [8, 9, 10, 11]


@given(
    array=st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(max_dims=3, max_side=5))
    ),
    zipped=st.booleans(),
)
def test_an_idx_file_goes_there_and_back(array, zipped):
    content = idx_bytes(array)
    found = idx.parse(gzip.compress(content) if zipped else content, "file")
    assert found.shape == array.shape
    assert found.dtype == array.dtype
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


def damaged() -> dict[str, bytes]:
    whole = idx_bytes(small()[FILES[0]])
    zipped = gzip.compress(whole, mtime=0)
    flipped = bytearray(zipped)
    flipped[len(zipped) // 2] ^= 0xFF
    unknown = zipped[:10] + b"\xff" + zipped[11:]
    return {
        "empty": b"",
        "three bytes": whole[:3],
        "only its head": whole[:10],
        "its end cut off": whole[:-1],
        "a byte too many": whole + b"x",
        "another magic number": b"\x00\x01" + whole[2:],
        "an unknown type": whole[:2] + b"\x07" + whole[3:],
        "a web page": b"<!DOCTYPE html><html>Not found</html>",
        "gzip, its end cut off": zipped[:-9],
        "gzip, a byte changed": bytes(flipped),
        "gzip, an unknown kind of block": unknown,
        "gzip of nothing": gzip.compress(b""),
    }


@pytest.mark.parametrize("kind", damaged())
def test_what_is_no_whole_idx_file_is_refused(kind):
    with pytest.raises(InputError, match=r"train\.gz: expected a whole IDX file; received [0-9]+ bytes"):
        idx.parse(damaged()[kind], "train.gz")


def test_data_cache_is_looked_at_first(project, monkeypatch):
    write(project / "cache" / "small", packed())
    write(project / "downloads" / "small", dict.fromkeys(FILES, b"not looked at"))
    monkeypatch.setenv("DATA_CACHE", str(project / "cache"))
    check_raw(source(project).read())


def test_what_data_cache_lacks_comes_from_the_downloads(project, monkeypatch):
    contents = packed()
    write(project / "cache" / "small", dict(list(contents.items())[:2]))
    write(project / "downloads" / "small", dict(list(contents.items())[2:]))
    monkeypatch.setenv("DATA_CACHE", str(project / "cache"))
    check_raw(source(project).read())


def test_an_unpacked_file_is_read_too(project):
    contents = {name: idx_bytes(array) for name, array in small().items()}
    write(project / "downloads" / "small", contents)
    check_raw(source(project, **{name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}).read())


@pytest.mark.parametrize("place", ["cache", "downloads"])
def test_a_file_with_another_hash_is_refused(project, monkeypatch, place):
    contents = packed()
    contents[FILES[2]] = contents[FILES[2]][:-1]
    path = write(project / place / "small", contents) / FILES[2]
    monkeypatch.setenv("DATA_CACHE", str(project / "cache"))
    with pytest.raises(InputError, match=r"expected SHA-256 [0-9a-f]{64}; received [0-9a-f]{64}.*Delete the file") as caught:
        source(project).read()
    assert str(path) in str(caught.value)


def test_an_unreachable_mirror_says_what_to_do(project):
    with pytest.raises(InputError) as caught:
        source(project, mirrors=(NOWHERE, "http://127.0.0.1:9/second/")).read()
    message = str(caught.value)
    assert (
        f"{FILES[0]} could not be fetched. Put it into $DATA_CACHE/small/ or into {project / 'downloads' / 'small'}/" in message
    )
    assert message.count("127.0.0.1:9") >= 2
    assert not list(project.glob("downloads/**/*.gz"))


@pytest.fixture
def mirror(project) -> Iterator[tuple[str, Path, list[str]]]:
    """A server of a folder: its address, the folder, and the paths that it was asked for."""
    folder = project / "served"
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, directory=str(folder), **keywords)

        def log_message(self, format, *arguments):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", folder, asked
        finally:
            server.shutdown()
            thread.join()


def test_what_is_missing_is_fetched_from_a_mirror_once(project, mirror):
    address, folder, asked = mirror
    for name, content in packed().items():
        (folder / name).write_bytes(content)
    check_raw(source(project, mirrors=(address,)).read())
    assert asked == [f"/{name}" for name in FILES]
    check_raw(source(project, mirrors=(address,)).read())
    assert len(asked) == 4
    assert {path.name for path in (project / "downloads/small").iterdir()} == set(FILES)


def test_files_in_folders_are_fetched_into_folders(project, mirror):
    address, folder, asked = mirror
    contents = {f"train/{kind}/{number}.png": f"{kind} {number}".encode() for kind in ("image", "label") for number in (9, 10)}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    published = Published(name="small", folder=str(project / "downloads"), mirrors=[address], files=hashes)
    assert published.names("train/label") == ["train/label/9.png", "train/label/10.png"]
    for _ in range(2):
        assert {name: published.content(name) for name in contents} == contents
    assert asked == [f"/{name}" for name in contents]
    assert (project / "downloads/small/train/image/9.png").is_file()
    assert published.state(published.names("train/image")) != published.state(published.names("train/label"))


def test_the_second_mirror_is_asked_where_the_first_fails(project, mirror):
    address, folder, asked = mirror
    for name, content in packed().items():
        (folder / name).write_bytes(content)
    check_raw(source(project, mirrors=(NOWHERE, f"{address}nothing/here/", address)).read())
    assert len([path for path in asked if path.startswith("/nothing/here/")]) >= 4  # each answered by 404
    assert {f"/{name}" for name in FILES} <= set(asked)


def test_a_mirror_with_other_bytes_is_not_believed(project, mirror):
    address, folder, _ = mirror
    for name, content in packed().items():
        (folder / name).write_bytes(content + b"\0")
    with pytest.raises(InputError, match=r"could not be fetched(.|\n)*hash"):
        source(project, mirrors=(address,)).read()
    assert not list((project / "downloads").glob("small/*.gz"))


def test_the_state_of_idx_files_is_that_of_their_hashes(project):
    assert source(project).state() == source(project, mirrors=("http://elsewhere/",)).state()
    assert source(project).state() != source(project, **{FILES[0]: "0" * 64}).state()


def test_digits_are_those_of_scikit_learn():
    raw = Digits().read()
    assert raw.arrays["image"].shape == (1797, 1, 8, 8)
    assert raw.arrays["image"].max() == 255
    assert sorted(np.unique(raw.arrays["target"])) == list(range(10))
    assert raw.classes == [str(digit) for digit in range(10)]


def test_prepared_digits(digits):
    _, prepared = digits
    assert sum(prepared.card["counts"].values()) == 1797
    assert prepared.card["counts"] == {"train": 1168, "val": 270, "test": 359}
    assert prepared.facts == {"shape": [1, 8, 8], "num_classes": 10}
    assert min(prepared.card["class_counts"]["test"]) >= 34


def test_the_real_fashion_mnist(fashion_mnist):
    config, prepared = fashion_mnist
    card = prepared.card
    assert card["counts"] == {"train": 55_000, "val": 5_000, "test": 10_000}
    assert card["class_counts"]["test"] == [1000] * 10
    assert card["class_counts"]["val"] == [500] * 10
    assert card["arrays"]["image"] == {"shape": [70_000, 1, 28, 28], "dtype": "uint8"}
    assert card["classes"][9] == "Ankle boot"
    statistics = card["statistics"]["image"]
    assert statistics["mean"] == pytest.approx([0.2860], abs=2e-3)
    assert statistics["std"] == pytest.approx([0.3530], abs=2e-3)
    resolved = composition.resolve(config, facts=prepared.facts)
    assert resolved.data.shape == [1, 28, 28]


def test_the_real_fashion_mnist_is_not_prepared_twice(fashion_mnist):
    config, prepared = fashion_mnist
    stamp = (prepared.folder / "image.npy").stat().st_mtime_ns
    assert assembly.prepare(config).folder == prepared.folder
    assert (prepared.folder / "image.npy").stat().st_mtime_ns == stamp
