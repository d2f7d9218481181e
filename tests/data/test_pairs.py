"""Folders of images and masks with equal names: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data import tiles
from src.data.raw import IGNORED, check
from src.data.sources.decoding import decode_values
from src.data.sources.files import Local
from src.data.sources.pairs import Pairs
from src.errors import InputError
from tests import discs


@pytest.fixture
def root(tmp_path) -> Path:
    return discs.write(tmp_path / "my slices")


def source(root: Path, **settings) -> Pairs:
    defaults = {"tile": 16, "stride": 12, "channels": 1, "labels": discs.LABELS}
    return Pairs(files=Local(root=str(root)), **{**defaults, **settings})


def test_pairs_in_tiles(root):
    raw = source(root).read()
    assert raw.classes == ["ground", "disc", "square"]
    assert raw.groups == [str(number) for number in range(12)]  # 10 after 9
    image, target, group, position = (raw.arrays[name] for name in ("image", "target", "group", "position"))
    assert image.shape[1:] == (1, 16, 16)
    assert target.shape[1:] == (16, 16)
    assert image.dtype == target.dtype == np.uint8
    for number in range(12):
        rows = group == number
        pixels, mask = discs.drawn(number)
        assert (position[rows, 2:] == mask.shape).all()
        whole = [tiles.paste(array[rows], position[rows, :2], height=40, width=56) for array in (image, target)]
        assert np.array_equal(whole[0][0], pixels)
        assert np.array_equal(whole[1], mask // 100)


def test_images_of_several_sizes(root):
    pixels, mask = discs.drawn(99, height=18, width=100)
    Image.fromarray(pixels).save(root / "images" / "wide.png")
    Image.fromarray(mask).save(root / "masks" / "wide.png")
    raw = source(root).read()
    assert raw.groups[-1] == "wide"
    assert (raw.arrays["group"] == 12).sum() == 2 * 8
    assert raw.arrays["position"][-1].tolist() == [2, 84, 18, 100]


def test_several_values_may_be_of_one_class(root):
    raw = source(root, labels={0: "ground", 100: "thing", 200: "thing"}).read()
    assert raw.classes == ["ground", "thing"]
    assert np.unique(raw.arrays["target"]).tolist() == [0, 1]


def test_values_that_do_not_count(root):
    for labels, classes in ((None, ["0", "100"]), ({0: "ground", 100: "disc"}, ["ground", "disc"])):
        raw = source(root, labels=labels, ignored=[200]).read()
        assert raw.classes == classes
        assert np.unique(raw.arrays["target"]).tolist() == [0, 1, IGNORED]
        check(raw, "discs")
    with pytest.raises(InputError, match=r"received 200, which data\.labels names too"):
        source(root, ignored=[200])


def test_masks_are_held_as_bytes(root):
    assert decode_values((root / "masks" / "0.png").read_bytes()).dtype == np.uint8


def test_without_labels_each_value_is_a_class(root):
    raw = source(root, labels=None).read()
    assert raw.classes == ["0", "100", "200"]
    assert np.array_equal(raw.arrays["target"], source(root).read().arrays["target"])


def test_palettes_and_black_and_white_masks_are_numbers(root):
    mask = discs.drawn(0)[1]
    palette = Image.fromarray((mask // 100).astype(np.uint8), mode=None).convert("P")
    palette.putpalette([200, 10, 10, 20, 220, 30, 0, 0, 250])
    indices = np.asarray(palette)
    palette.save(root / "masks" / "0.png")
    Image.fromarray(discs.drawn(1)[1] > 0).save(root / "masks" / "1.png")
    labels = {int(value): f"{value}" for value in sorted({*np.unique(indices).tolist(), 0, 1, 100, 200})}
    raw = source(root, labels=labels, tile=40, stride=40).read()
    values = np.array(list(labels))
    position, group = raw.arrays["position"], raw.arrays["group"]
    for number, expected in ((0, indices), (1, discs.drawn(1)[1] > 0)):
        rows = group == number
        pasted = tiles.paste(raw.arrays["target"][rows], position[rows, :2], height=40, width=56)
        assert np.array_equal(values[pasted], expected)


def test_coloured_pictures(root):
    raw = source(root, channels=3).read()
    assert raw.arrays["image"].shape[1:] == (3, 16, 16)


def test_stated_splits(root):
    raw = source(root, splits={"val": [4], "test": ["1", 2]}).read()
    group = raw.arrays["group"]
    assert set(group[raw.splits["val"]]) == {4}
    assert set(group[raw.splits["test"]]) == {1, 2}
    assert (group == 4).sum() == len(raw.splits["val"])


@pytest.mark.parametrize(
    "splits",
    [
        {"val": [99]},
        {"val": [1], "test": [1]},
        {"train": [1]},
        {"test": []},
        {"val": list(range(6)), "test": list(range(6, 12))},
    ],
)
def test_splits_that_do_not_fit_the_images_are_refused(root, splits):
    with pytest.raises(InputError, match=r"data\.splits: expected names of images for val and test, each once"):
        source(root, splits=splits).read()


def without_a_mask(root: Path) -> None:
    (root / "masks" / "3.png").unlink()


def without_an_image(root: Path) -> None:
    (root / "images" / "3.png").unlink()


def of_another_size(root: Path) -> None:
    Image.fromarray(np.zeros((40, 55), dtype=np.uint8)).save(root / "masks" / "3.png")


def with_another_label(root: Path) -> None:
    Image.fromarray(np.full((40, 56), 7, dtype=np.uint8)).save(root / "masks" / "3.png")


def in_colours(root: Path) -> None:
    Image.fromarray(np.zeros((40, 56, 3), dtype=np.uint8)).save(root / "masks" / "3.png")


def broken(root: Path) -> None:
    path = root / "images" / "3.png"
    path.write_bytes(path.read_bytes()[:200])


def too_small(root: Path) -> None:
    for folder in ("images", "masks"):
        Image.fromarray(np.zeros((15, 56), dtype=np.uint8)).save(root / folder / "3.png")


def twice(root: Path) -> None:
    Image.fromarray(np.zeros((40, 56), dtype=np.uint8)).save(root / "images" / "3.jpg")


def of_a_format_that_is_not_read(root: Path) -> None:
    for folder in ("images", "masks"):
        Image.fromarray(np.zeros((40, 56), dtype=np.uint8)).save(root / folder / "12.ppm")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_a_mask, r"received 1 .*images/3\.png has no mask masks/3\.png"),
        (without_an_image, r"received 1 .*masks/3\.png has no image of its name in images"),
        (of_another_size, r"3: expected a mask of the image's size, 40x56; received 40x55"),
        (with_another_label, r"3: expected labels among 0, 100, 200 \(data\.labels\); received 7"),
        (in_colours, r"3: expected one channel, a number for each pixel; received 3 channels \(RGB\)"),
        (broken, r"1 of 12 pairs cannot be used\. Repair or remove them, or raise data\.max_unreadable \(0\).*:\n  3: "),
        (too_small, r"3: expected pictures of at least 16x16 pixels; received 15x56"),
        (twice, r"expected one image named 3; received two"),
        (of_a_format_that_is_not_read, r"received 1 of other formats.*\n  images/12\.ppm"),
    ],
)
def test_a_pair_that_cannot_be_used_is_named(root, spoil, message):
    spoil(root)
    with pytest.raises(InputError, match=rf"(?s)my slices \(images, masks\): .*{message}"):
        source(root).read()


def test_pairs_that_cannot_be_used_are_left_out_up_to_a_limit(root):
    of_another_size(root)
    (root / "images" / "5.png").unlink()
    (root / "images" / "5.png").symlink_to("nowhere.png")
    settings = {"splits": {"val": [3, 4], "test": [6]}}
    raw = source(root, max_unreadable=2, **settings).read()
    assert raw.groups == ["0", "1", "2", "4", "6", "7", "8", "9", "10", "11"]
    assert raw.notes == ["2 of 12 pairs cannot be used, and are left out: 3, 5."]
    group = raw.arrays["group"]
    assert set(group[raw.splits["val"]]) == {3}
    pixels = tiles.paste(raw.arrays["image"][group == 3], raw.arrays["position"][group == 3, :2], height=40, width=56)
    assert np.array_equal(pixels[0], discs.drawn(4)[0])
    with pytest.raises(InputError, match=r"2 of 12 pairs .*max_unreadable \(1\)[^$]*\n  5: expected a file; received a link"):
        source(root, max_unreadable=1).read()


def test_pairs_in_folders_and_other_files(root):
    for folder in ("images", "masks"):
        (root / folder / "more").mkdir()
        (root / folder / "3.png").rename(root / folder / "more" / "3.png")
    (root / "images" / "notes.txt").write_text("not a picture")
    (root / "masks" / "again").symlink_to("more")
    raw = source(root, splits={"test": ["more/3"]}).read()
    assert raw.groups == [*(str(number) for number in range(12) if number != 3), "more/3"]
    assert set(raw.arrays["group"][raw.splits["test"]]) == {11}
    assert raw.notes == ["2 files are left out as no image: images/notes.txt, masks/again."]


def test_sixteen_bits_of_grey_are_shifted_by_their_range(root):
    pixels = discs.drawn(3)[0].astype(np.uint16) << 4
    pixels[0, 0] = 4095
    Image.fromarray(pixels).save(root / "images" / "3.png")
    for channels in (1, 3):
        raw = source(root, channels=channels).read()
        rows = raw.arrays["group"] == 3
        whole = tiles.paste(raw.arrays["image"][rows], raw.arrays["position"][rows, :2], height=40, width=56)
        assert (whole == (pixels >> 4)[None]).all()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"data\.root=.*nowhere: expected a folder images in it; there is none"):
        source(tmp_path / "nowhere").state()
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match=r"a mask of the same name \(\.png, .*, \.gif\); received no image\."):
        source(tmp_path).state()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 2}, r"data\.channels: expected 1 \(grey\) or 3 \(colour\).*; received 2\."),
        ({"stride": 17}, r"data\.stride: expected a number of pixels from 1 to 16; received 17"),
        ({"stride": 0}, r"data\.stride: expected a number of pixels from 1 to 16; received 0\."),
        ({"tile": 0}, r"data\.tile: expected a number of pixels of at least 1; received 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(root, settings, message):
    with pytest.raises(InputError, match=message):
        source(root, **settings)


def test_an_edit_of_a_mask_is_another_state(root):
    before = source(root).state()
    assert source(root).state() == before
    in_colours(root)
    assert source(root).state() != before


@pytest.mark.parametrize("suffix", ["tif", "bmp"])
def test_masks_in_other_formats_have_the_same_values(root, suffix):
    before = Pairs(files=Local(root=str(root)), tile=16, stride=16, channels=1).read()
    for number in range(12):
        for folder in ("images", "masks"):
            path = root / folder / f"{number}.png"
            with Image.open(path) as image:
                image.save(path.with_suffix(f".{suffix}"))
            path.unlink()
    after = Pairs(files=Local(root=str(root)), tile=16, stride=16, channels=1).read()
    assert after.classes == before.classes == ["0", "100", "200"]
    assert all(np.array_equal(after.arrays[name], before.arrays[name]) for name in before.arrays)
