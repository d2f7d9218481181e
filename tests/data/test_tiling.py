"""Pairs of images and masks that are stored in tiles as they are decoded: equal to the bit, in memory that does not grow."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src.data import scratch, tiles
from src.data.raw import IGNORED, check
from src.data.sources.files import Local
from src.data.sources.pairs import Pairs
from src.errors import InputError
from tests import memory
from tests.data.prepared import prepare

SIZES = ((8, 8), (13, 9), (10, 12))
SPLITS = {"val": [5], "test": [6, "7"]}


def write(
    root: Path,
    *,
    count: int = 8,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    values: tuple[int, ...] = (0, 3, 250),
    deep: Mapping[int, int] | None = None,
    first: int | None = None,
) -> Path:
    """Random pairs.

    Args:
        values: of the masks; those of bytes where they fit.
        deep: the bits that the values of an image with 16 bits use, by its number.
        first: the only value in the first mask; None for all of them.
    """
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    depth = np.uint8 if max(values) < 256 else np.uint16 if max(values) < 2**16 else np.int32
    for number in range(count):
        rng, shape = np.random.default_rng(number), sizes[number % len(sizes)]
        pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        if bits := (deep or {}).get(number):
            pixels = rng.integers(0, 2**bits, shape, dtype=np.uint16)
            pixels[0, 0] = 2**bits - 1
        mask = rng.choice(np.array([first] if first is not None and not number else values, dtype=depth), shape)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.{'png' if depth == np.uint8 else 'tif'}")
    return root


def source(root: Path, **settings: Any) -> Pairs:
    return Pairs(files=Local(root=str(root)), **{"tile": 6, "stride": 4, "channels": 3, **settings})


def broken(root: Path) -> None:
    path = root / "masks" / "2.png"
    path.write_bytes(path.read_bytes()[:60])


def no_change(root: Path) -> None:
    pass


SETS: dict[str, tuple[dict[str, Any], Callable[[Path], None], dict[str, Any]]] = {
    "grey": ({}, no_change, {"channels": 1}),
    "colour": ({}, no_change, {"splits": SPLITS}),
    "a value that comes late": ({"first": 250}, no_change, {}),
    "sixteen bits of grey": ({"deep": {1: 9, 2: 12, 4: 12, 5: 7}}, no_change, {}),
    "labels": ({}, no_change, {"labels": {3: "a", 250: "b", 0: "a"}}),
    "values that do not count": ({"first": 250}, no_change, {"ignored": [3], "splits": SPLITS}),
    "labels of 16 bits": ({"values": (0, 300, 40_000)}, no_change, {"labels": {40_000: "a", 0: "b"}, "ignored": [300]}),
    "values of 32 bits": ({"values": (7, 2**17, 2**30), "first": 2**17}, no_change, {}),
    "a pair left out": ({"deep": {2: 15, 3: 11}}, broken, {"max_unreadable": 1, "splits": SPLITS}),
}
CONTENTS = {
    "grey": "53540273d8d010cf",
    "colour": "a318fee7e2e4218a",
    "a value that comes late": "9338ec5e6bdb2d91",
    "sixteen bits of grey": "02fafd527439a8c2",
    "labels": "5b9e42825e0b91b5",
    "values that do not count": "626854a8a5cb3e98",
    "labels of 16 bits": "8beb85107e659455",
    "values of 32 bits": "aa335c1e0d79a189",
    "a pair left out": "f021ddca80807eaa",
}


@pytest.mark.parametrize("name", SETS)
def test_the_content_of_a_prepared_data_set_stays_what_it_was(name, tmp_path):
    written, change, settings = SETS[name]
    change(write(tmp_path / "raw", **written))
    prepared = prepare(tmp_path / "prepared", source(tmp_path / "raw", **settings))
    assert prepared.card["content"][:16] == CONTENTS[name]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_sixteen_bits_are_shifted_by_the_largest_value_of_all(tmp_path, channels):
    root = write(tmp_path / "raw", sizes=((10, 12),), deep={1: 9, 2: 12, 4: 12, 5: 7})
    raw = source(root, channels=channels).read()
    assert raw.reading["shift"] == 4
    for number in (1, 2, 5):
        rows = raw.arrays["group"] == number
        whole = tiles.paste(raw.arrays["image"][rows], raw.arrays["position"][rows, :2], height=10, width=12)
        assert (whole == np.asarray(Image.open(root / "images" / f"{number}.png")) >> 4).all()


@pytest.mark.parametrize(
    ("settings", "received"),
    [({}, 300), ({"ignored": [7, 8]}, 298), ({"labels": {number: f"class {number}" for number in range(300)}}, 300)],
)
def test_more_classes_than_a_byte_holds_are_refused(tmp_path, settings, received):
    root = write(tmp_path / "raw", sizes=((60, 60),), values=tuple(range(300)))
    with pytest.raises(InputError, match=rf"expected at most 255 classes; received {received}\. Set data\.labels"):
        source(root, **settings).read()


def test_as_many_classes_as_a_byte_holds(tmp_path):
    root = write(tmp_path / "raw", sizes=((60, 60),), values=tuple(range(400, 656)), first=655)
    raw = source(root, ignored=[400]).read()
    check(raw, "many")
    assert raw.classes == [str(value) for value in range(401, 656)]
    assert np.unique(raw.arrays["target"][raw.arrays["group"] == 0]).tolist() == [254]
    assert np.unique(raw.arrays["target"]).tolist() == [*range(255), IGNORED]


class Changing(Local):
    """Files of which the first image has another size when it is read again."""

    read_before = False

    def content(self, name: str) -> bytes:
        if name != "images/0.png":
            return super().content(name)
        name, self.read_before = ("images/1.png" if self.read_before else name), True
        return super().content(name)


def test_an_image_that_changes_while_it_is_read_is_named(tmp_path):
    root = write(tmp_path / "raw", deep={0: 9, 1: 12})
    files = Changing(root=str(root))
    with pytest.raises(
        InputError, match=r"raw \(images, masks\): 0 was changed while it was read: expected the size and depth"
    ):
        prepare(tmp_path / "prepared", Pairs(files=files, tile=6, stride=4, channels=3))
    assert [path.name for path in tmp_path.iterdir()] == ["raw"], "nothing is half-written"


@pytest.mark.parametrize("deep", [0, 12])
def test_memory_does_not_grow_with_the_pairs(tmp_path, monkeypatch, deep):
    monkeypatch.setattr(scratch, "CHUNK", 2**16)
    one = write(tmp_path / "one", count=1, sizes=((160, 160),), deep={0: deep})
    peaks, sizes = [], []
    for count in (12, 60):
        root, folder = tmp_path / f"{count}", tmp_path / f"arrays of {count}"
        for path in (root / "images", root / "masks", folder):
            path.mkdir(parents=True)
        for kind in ("images", "masks"):
            for number in range(count):
                os.link(one / kind / "0.png", root / kind / f"{number}.png")
        with scratch.within(folder), memory.measured() as peak:
            raw = source(root, tile=40, stride=40).read()
            check(raw, "pairs")
        peaks.append(peak())
        sizes.append(raw.arrays["image"].nbytes + raw.arrays["target"].nbytes)
    assert sizes == [4 * 160**2 * 12, 4 * 160**2 * 60]
    assert peaks[1] - peaks[0] < 0.03 * (sizes[1] - sizes[0])  # names and positions
