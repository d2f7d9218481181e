"""A folder of images by class: what is read, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.sources.folder import Folder
from src.errors import InputError


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
    picture(root / "dark Äpfel" / "grey one.JPEG", mode="L", level=40, size=(9, 40))
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


def test_sixteen_bits_of_grey_keep_their_order(tmp_path):
    pixels = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "0.png")
    image = Folder(root=str(tmp_path), size=8, channels=1).read().arrays["image"][0, 0]
    assert np.array_equal(image, (pixels >> 8).astype(np.uint8))


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


@pytest.mark.parametrize("name", ["dark Äpfel/4.bmp", "only these/0.WEBP", "only these/0.tif"])
def test_an_image_of_a_format_that_is_not_read_is_named(root, name):
    picture(root / name)
    (root / "dark Äpfel" / "Thumbs.db").write_bytes(b"what Windows leaves")
    for ask in (Folder.read, Folder.state):
        with pytest.raises(InputError) as caught:
            ask(Folder(root=str(root), size=8, channels=3))
        assert "expected images in files .png, .jpg, .jpeg; received 1 of other formats" in str(caught.value)
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
