"""A folder of images by class: what is read, and what is refused."""

import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.sources.folder import Folder
from src.errors import InputError
from tests.data.prepared import prepare


def picture(path: Path, *, mode: str = "RGB", size: tuple[int, int] = (12, 12), level: int = 100, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "1": ()}[mode]
    pixels = np.clip(rng.normal(level, 20, (size[1], size[0], *channels)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two classes of pictures, with a space and an umlaut in their names, in several formats and sizes."""
    root = tmp_path / "my pictures"
    for number in range(3):
        picture(root / "dark Äpfel" / f"{number}.png", level=40, seed=number)
        picture(root / "light 苹果" / f"{number}.jpg", level=210, size=(30, 12), seed=number)
    picture(root / "dark Äpfel" / "grey one.JPEG", mode="L", level=40, size=(9, 30))
    picture(root / "light 苹果" / "see through.PNG", mode="RGBA", level=210)
    (root / "light 苹果" / "notes.txt").write_text("not a picture")
    (root / "read me.txt").write_text("not a class")
    return root


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_pictures(root, channels):
    raw = Folder(root=str(root), size=10, channels=channels).read()
    assert raw.classes == ["dark Äpfel", "light 苹果"]
    assert raw.arrays["image"].shape == (8, channels, 10, 10)
    assert raw.arrays["image"].dtype == np.uint8
    assert raw.arrays["target"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    means = raw.arrays["image"].mean(axis=(1, 2, 3))
    assert means[:4].max() < 100 < means[4:].min()


def test_pictures_are_scaled_by_their_shorter_side_and_cropped_to_the_middle(tmp_path):
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 200  # the middle third
    tall = np.full((30, 10, 3), 50, dtype=np.uint8)
    tall[10:20] = 90
    for name, pixels in (("wide/0.png", wide), ("tall/0.png", tall)):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(pixels).save(tmp_path / name)
    image = Folder(root=str(tmp_path), size=10, channels=3).read().arrays["image"]
    assert (image[0] == 90).all()
    assert (image[1] == 200).all()
    assert Folder(root=str(tmp_path), size=40, channels=1).read().arrays["image"].shape == (2, 1, 40, 40)


@pytest.mark.parametrize("size", [(10, 10), (7, 23), (1, 50), (33, 32), (100, 3)])
def test_any_format_of_picture_fills_the_square(tmp_path, size):
    for label in ("a", "b"):
        picture(tmp_path / label / "0.png", size=size, level=200)
    image = Folder(root=str(tmp_path), size=16, channels=3).read().arrays["image"]
    assert image.shape == (2, 3, 16, 16)
    assert image.min() > 60  # no black border


@pytest.mark.parametrize(("largest", "shift"), [(65535, 8), (4095, 4), (200, 0)])
def test_sixteen_bits_of_grey_are_shifted_by_their_range_over_all_files(tmp_path, largest, shift):
    bright = np.linspace(0, largest, 64).reshape(8, 8).astype(np.uint16)
    dark = bright // 16
    for label, pixels in (("a", dark), ("b", bright)):
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "0.png")
    picture(tmp_path / "b" / "eight bits.png", size=(8, 8))
    for channels in (1, 3):
        raw = Folder(root=str(tmp_path), size=8, channels=channels).read()
        for row, pixels in ((0, dark), (1, bright)):
            assert (raw.arrays["image"][row] == (pixels >> shift).astype(np.uint8)).all()
    bits = f"{shift} bit" if shift == 1 else f"{shift} bits"
    assert raw.notes == [f"2 images have 16 bits of grey with values up to {largest:,}; they are shifted by {bits} to 8 bits."]
    with Image.open(tmp_path / "b" / "eight bits.png") as image:
        assert np.array_equal(raw.arrays["image"][2], np.asarray(image).transpose(2, 0, 1))


def colours_with_sixteen_bits(path: Path, value: int) -> None:
    """A PNG of 2x2 pixels, which Pillow reads and cannot write."""
    rows = b"".join(b"\0" + value.to_bytes(2, "big") * 6 for _ in range(2))
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0), b"IDAT": zlib.compress(rows), b"IEND": b""}
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks.items()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_sixteen_bits_of_colour_are_refused_where_their_upper_bits_are_empty(tmp_path):
    colours_with_sixteen_bits(tmp_path / "a" / "0.png", 4000)
    colours_with_sixteen_bits(tmp_path / "b" / "0.png", 3000)
    folder = Folder(root=str(tmp_path), size=2, channels=3)
    with pytest.raises(InputError, match=r"the values of 2 such files stay below 4,096 of 65,536. Convert them to 8 bits"):
        folder.read()
    colours_with_sixteen_bits(tmp_path / "b" / "0.png", 40000)
    raw = folder.read()
    assert raw.arrays["image"][:, 0, 0, 0].tolist() == [4000 >> 8, 40000 >> 8]
    assert raw.notes == ["2 images have 16 bits in each channel; the upper 8 bits are kept."]


def test_images_in_folders_of_a_class_are_of_the_class_and_named(root):
    picture(root / "dark Äpfel" / "of last year" / "more" / "0.png")
    picture(root / "dark Äpfel" / ".thumbnails" / "0.png")
    raw = Folder(root=str(root), size=10, channels=3).read()
    assert raw.arrays["target"].tolist() == [0] * 5 + [1] * 4
    assert raw.names == [
        *(f"dark Äpfel/{name}" for name in ("0.png", "1.png", "2.png", "grey one.JPEG", "of last year/more/0.png")),
        *(f"light 苹果/{name}" for name in ("0.jpg", "1.jpg", "2.jpg", "see through.PNG")),
    ]


def test_all_that_is_left_out_is_counted(root):
    (root / "no pictures").mkdir()
    (root / "no pictures" / "table.csv").write_text("1,2")
    (root / "no pictures" / "README").write_text("later")
    (root / "light 苹果" / "more notes.TXT").write_text("not a picture")
    picture(root / "of no class.png")
    (root / "gone").symlink_to("elsewhere")
    (root / "light 苹果" / "other").symlink_to("../dark Äpfel")
    (root / "light 苹果" / "round and round").symlink_to(".")
    raw = Folder(root=str(root), size=10, channels=3).read()
    assert raw.classes == ["dark Äpfel", "light 苹果"]
    assert raw.notes == [
        "1 folder has no image, and no class is made of it: no pictures.",
        "4 files are no images and left out: 2 .txt, 1 README, 1 .csv.",
        "2 files are outside of the folders of the classes and left out: gone, of no class.png.",
        "2 links to folders are not followed: light 苹果/other, light 苹果/round and round.",
    ]


def test_a_class_may_be_a_link_to_a_folder(root):
    (root / "light 苹果").rename(root.parent / "elsewhere")
    (root / "light 苹果").symlink_to("../elsewhere")
    assert Folder(root=str(root), size=10, channels=3).read().names[4:5] == ["light 苹果/0.jpg"]


def test_very_long_images_are_named_and_need_little_memory(tmp_path):
    picture(tmp_path / "a" / "0.png", size=(2000, 1))
    picture(tmp_path / "a" / "1.png", size=(1, 60_000), level=200)
    picture(tmp_path / "b" / "0.png", size=(40, 10))
    raw = Folder(root=str(tmp_path), size=64, channels=3).read()
    assert raw.notes == [
        "2 images are more than 4 times as long as wide; only the middle square of each is kept: a/0.png (2000x1), "
        "a/1.png (1x60000)."
    ]
    assert raw.arrays["image"][1].mean() > 150


def test_a_name_that_is_no_utf8_is_shown_with_its_bytes(root, tmp_path):
    folder = Folder(root=str(root), size=10, channels=3)
    before = folder.state()
    latin = os.fsencode(root / "dark Äpfel") + "/\xe4pfel.png".encode("latin-1")
    os.rename(os.fsencode(root / "dark Äpfel" / "0.png"), latin)
    assert folder.state() != before
    prepared = prepare(tmp_path / "prepared", folder, max_duplicates=1.0)
    assert prepared.names[3] == "dark Äpfel/\\xe4pfel.png"
    prepared.names[3].encode()
    with open(latin, "wb"):
        pass
    with pytest.raises(InputError, match=r"\n  dark Äpfel/\\xe4pfel\.png: expected the content of an image"):
        folder.read()


@pytest.mark.slow
def test_links_to_nothing_and_images_that_are_too_large_are_named(root):
    (root / "dark Äpfel" / "gone.png").symlink_to("../elsewhere.png")
    (root / "dark Äpfel" / "loop.png").symlink_to("loop.png")
    Image.new("1", (20_000, 20_000)).save(root / "light 苹果" / "huge.png")
    folder = Folder(root=str(root), size=10, channels=1)
    assert folder.state() == folder.state()
    with pytest.raises(InputError) as caught:
        folder.read()
    assert str(caught.value).splitlines()[1:] == [
        "  dark Äpfel/gone.png: expected a file; received a link to ../elsewhere.png, which leads to none",
        "  dark Äpfel/loop.png: expected a file; received a link to loop.png, which leads to none",
        "  light 苹果/huge.png: expected an image that fits in memory; "
        "Image size (400000000 pixels) exceeds limit of 178956970 pixels",
    ]


def test_unreadable_images_are_left_out_up_to_a_limit(root):
    for name in ("dark Äpfel/00.png", "light 苹果/page.png", "only broken ones/0.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"<html>")
    raw = Folder(root=str(root), size=10, channels=3, max_unreadable=3).read()
    assert raw.classes == ["dark Äpfel", "light 苹果"]
    assert [len(raw.names), len(raw.arrays["image"]), raw.arrays["target"].tolist()] == [8, 8, [0] * 4 + [1] * 4]
    assert raw.arrays["image"][:4].mean() < 100 < raw.arrays["image"][4:].mean()
    assert raw.notes[1:] == [
        "3 of 11 files cannot be read as images, and are left out: "
        "dark Äpfel/00.png, light 苹果/page.png, only broken ones/0.png.",
        "1 class has no image that can be read: only broken ones.",
    ]
    with pytest.raises(InputError, match=r"3 of 11 files cannot be read as images\. .* raise data\.max_unreadable \(2\)"):
        Folder(root=str(root), size=10, channels=3, max_unreadable=2).read()


def test_a_file_has_all_unreadable_images_where_the_message_has_ten(root, tmp_path):
    for number in range(12):
        (root / "dark Äpfel" / f"page {number:02}.png").write_bytes(b"<html>")
    folder = Folder(root=str(root), size=10, channels=3)
    listing = tmp_path / "prepared" / "mine.unreadable.txt"
    with pytest.raises(InputError) as caught:
        prepare(listing.with_name("mine"), folder)
    message = str(caught.value)
    assert message.count("page ") == 10
    assert message.endswith(f"\n  and 2 more. All of them: {listing}")
    lines = listing.read_text().splitlines()
    assert len(lines) == 12
    assert lines[11].startswith("dark Äpfel/page 11.png: expected the content of an image")
    folder.max_unreadable = 12
    assert len(prepare(listing.with_name("mine"), folder, max_duplicates=1.0).names) == 8
    assert not listing.exists()


def test_every_unreadable_picture_is_listed(root):
    (root / "dark Äpfel" / "empty.png").write_bytes(b"")
    whole = (root / "light 苹果" / "0.jpg").read_bytes()
    (root / "light 苹果" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "light 苹果" / "page.png").write_bytes(b"<html>")
    with pytest.raises(InputError) as caught:
        Folder(root=str(root), size=10, channels=3).read()
    message = str(caught.value)
    assert "3 of 11 files cannot be read as images" in message
    assert all(name in message for name in ("empty.png", "cut.jpg", "page.png"))


def test_a_single_class_is_refused(tmp_path):
    picture(tmp_path / "only" / "0.png")
    with pytest.raises(InputError, match=r"at least two folders .* received one class, only"):
        Folder(root=str(tmp_path), size=8, channels=3).read()


def test_a_folder_without_pictures_is_refused(tmp_path):
    picture(tmp_path / "not in a class.png")
    with pytest.raises(InputError, match=r"at least two folders .* received no image"):
        Folder(root=str(tmp_path), size=8, channels=3).state()


@pytest.mark.parametrize("ask", [Folder.read, Folder.state])
def test_a_missing_root_is_refused(tmp_path, ask):
    with pytest.raises(InputError, match=r"data.root=.*nowhere: expected a folder .*; there is none"):
        ask(Folder(root=str(tmp_path / "nowhere"), size=8, channels=3))


def test_a_hidden_folder_is_no_class(root):
    picture(root / ".ipynb_checkpoints" / "0-checkpoint.png")
    (root / "dark Äpfel" / "._0.png").write_bytes(b"what a Mac leaves on other disks")
    raw = Folder(root=str(root), size=10, channels=3).read()
    assert raw.classes == ["dark Äpfel", "light 苹果"]
    assert len(raw.arrays["image"]) == 8


@pytest.mark.parametrize("name", ["dark Äpfel/4.ppm", "only these/0.JP2"])
def test_an_image_of_a_format_that_is_not_read_is_named(root, name):
    picture(root / name)
    (root / "dark Äpfel" / "Thumbs.db").write_bytes(b"what Windows leaves")
    for ask in (Folder.read, Folder.state):
        with pytest.raises(InputError) as caught:
            ask(Folder(root=str(root), size=8, channels=3))
        assert ".tiff, .gif; received 1 of other formats" in str(caught.value)
        assert str(caught.value).endswith(f"\n  {root / name}")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"channels": 5, "size": 8}, r"data\.channels: expected 1 \(grey\) or 3 \(colour\).*; received 5\."),
        ({"channels": 3, "size": 0}, r"data\.size: expected a number of pixels of at least 1; received 0\."),
    ],
)
def test_settings_that_make_no_picture_are_refused(tmp_path, setting, message):
    with pytest.raises(InputError, match=message):
        Folder(root=str(tmp_path), **setting)


def test_the_state_of_a_folder_changes_with_its_pictures(root):
    folder = Folder(root=str(root), size=10, channels=3)
    states = [folder.state(), folder.state()]
    picture(root / "dark Äpfel" / "new.png")
    states.append(folder.state())
    picture(root / "dark Äpfel" / "new.png", seed=5, size=(20, 20))
    states.append(folder.state())
    (root / "read me.txt").write_text("no picture, no change")
    states.append(folder.state())
    assert states[0] == states[1]
    assert len(set(states)) == 3
    assert states[3] == states[4]


def test_the_state_of_a_folder_does_not_depend_on_where_it_lies(root, tmp_path):
    before = Folder(root=str(root), size=10, channels=3).state()
    assert Folder(root=str(root.rename(tmp_path / "moved")), size=10, channels=3).state() == before


def test_a_pipe_or_a_device_is_no_picture(root):
    os.mkfifo(root / "dark Äpfel" / "pipe.png")
    (root / "dark Äpfel" / "device.png").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"2 of 10 files cannot be read") as caught:
        Folder(root=str(root), size=10, channels=1).read()
    assert str(caught.value).count("expected a file; received a folder, a pipe or a device") == 2


def test_each_format_that_pillow_reads_without_loss_gives_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    exact = {"tiff": {"compression": "tiff_lzw"}, "webp": {"lossless": True}}
    for number, suffix in enumerate(("png", "bmp", "TIF", "tiff", "gif", "webp")):
        path = tmp_path / f"class {number}" / f"0.{suffix}"
        path.parent.mkdir()
        Image.fromarray(pixels).save(path, **exact.get(suffix, {}))
    raw = Folder(root=str(tmp_path), size=8, channels=1).read()
    assert (raw.arrays["image"] == pixels).all()
    assert raw.notes == []


def test_of_several_pages_or_frames_the_first_is_kept_and_the_file_named(tmp_path):
    pages = [Image.fromarray(np.full((8, 8), level, dtype=np.uint8)) for level in (200, 10, 20)]
    for label, suffix in (("a", "gif"), ("b", "tif"), ("c", "webp")):
        (tmp_path / label).mkdir()
        pages[0].save(tmp_path / label / f"0.{suffix}", save_all=True, append_images=pages[1:], lossless=True)
    picture(tmp_path / "a" / "1.gif")
    raw = Folder(root=str(tmp_path), size=8, channels=1).read()
    assert [image.mean() for image in raw.arrays["image"]][::2] == pytest.approx([200, 200], abs=1)
    assert raw.notes == ["3 files have several pages or frames; only the first of each is kept: a/0.gif, b/0.tif, c/0.webp."]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 4), 0.5, dtype=np.float32), "expected whole numbers as pixels; received fractions"),
        (np.full((4, 4), -3, dtype=np.int32), "expected pixels from 0; received -3"),
    ],
)
def test_pixels_that_are_no_grey_levels_are_refused(tmp_path, pixels, message):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "0.tif")
    with pytest.raises(InputError, match=f"a/0.tif: {message}"):
        Folder(root=str(tmp_path), size=4, channels=1).read()


@pytest.fixture
def split_root(tmp_path) -> Path:
    """ImageNet's layout: the splits, with two classes in each."""
    for split, count in (("train", 4), ("val", 1), ("test", 2)):
        for label, level in (("dark", 40), ("light", 210)):
            for number in range(count):
                picture(tmp_path / split / label / f"{number}.png", level=level, seed=len(split) * 10 + number)
    return tmp_path


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_folders_named_as_splits_are_the_splits(split_root, name):
    (split_root / "val").rename(split_root / name)
    picture(split_root / "train" / "of no class.png")
    (split_root / "notes.txt").write_text("not a picture")
    raw = Folder(root=str(split_root), size=8, channels=1).read()
    assert raw.classes == ["dark", "light"]
    rows = {split: [raw.names[row] for row in rows] for split, rows in raw.splits.items()}
    assert rows["train"] == [f"train/{label}/{number}.png" for label in ("dark", "light") for number in range(4)]
    assert rows["val"] == [f"{name}/{label}/0.png" for label in ("dark", "light")]
    assert len(rows["test"]) == 4
    assert [raw.classes[number] for number in raw.arrays["target"]] == [one.split("/")[1] for one in raw.names]
    assert raw.notes == ["1 file is outside of the folders of the classes and left out: train/of no class.png."]


def test_a_split_that_has_no_folder_is_drawn_from_the_training_part(split_root, tmp_path_factory):
    shutil.rmtree(split_root / "test")
    prepared = prepare(tmp_path_factory.mktemp("p") / "p", Folder(root=str(split_root), size=8, channels=1), max_duplicates=1.0)
    assert prepared.card["split"]["own"] == ["train", "val"]
    assert prepared.card["counts"] == {"train": 6, "val": 2, "test": 2}  # a quarter of all is for the test, as 10 / 4
    assert {prepared.names[row].split("/")[0] for row in prepared.index("test")} == {"train"}


def test_two_classes_may_be_called_train_and_test(tmp_path):
    for label in ("train", "test"):
        picture(tmp_path / label / "0.png")
    raw = Folder(root=str(tmp_path), size=8, channels=1).read()
    assert (raw.classes, raw.splits) == (["test", "train"], {})


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (lambda root: picture(root / "unsorted" / "0.png"), "test, train, unsorted, val"),
        (lambda root: shutil.rmtree(root / "train"), "test, val"),
        (lambda root: shutil.copytree(root / "val", root / "valid"), "test, train, val, valid"),
    ],
)
def test_folders_that_are_splits_only_in_part_are_refused(split_root, change, received):
    change(split_root)
    with pytest.raises(InputError, match=f"those of splits: train, with val or test or both, .*; received {received}"):
        Folder(root=str(split_root), size=8, channels=1).state()
