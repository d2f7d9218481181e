"""Image files that are stored as they are: their pixels, random crops by seed, epoch and row, and their loader."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.data import loader, worker_pool
from src.data.columns import Dense, Ragged
from src.data.encoded import Draw, Encoded
from src.data.images import Images
from src.data.loader import Batches
from src.data.order import Order
from src.data.sources.folder import Folder
from src.data.sources.pixels import PixelDecoder, one
from src.errors import InputError
from src.protocols import Batch
from tests.data.prepared import prepare

COUNT = 40


def folder(root: Path, suffix: str, *, side: int = 0, grey: int | None = None) -> Path:
    """Two classes of images that are twice as wide as high, or higher than wide."""
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        path = root / "ab"[number % 2] / f"{number:02}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (24, 12) if number % 3 else (12, 20)
        pixels = rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((size[0] * (side or 1), size[1] * (side or 1)), Image.Resampling.BICUBIC)
        if grey is not None and number % 7 == grey:
            image = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 16)
        image.save(path)
    return root


def data(root: Path, target: Path, **settings) -> Images:
    prepared = prepare(
        target, Folder(root=str(root), size=8, channels=3, storage="encoded"), split={"val": 4, "test": 4, "seed": 0}
    )
    return Images(prepared=prepared, shape=(3, 8, 8), num_classes=2, batch_size=4, **settings)


def test_files_without_a_smaller_size_have_the_pixels_and_statistics_of_a_decoded_store(tmp_path):
    root = folder(tmp_path / "images", ".png", grey=1)  # some of 16 bits, which are read a second time
    decoded, encoded = (
        prepare(tmp_path / storage, Folder(root=str(root), size=8, channels=3, storage=storage))
        for storage in ("decoded", "encoded")
    )
    own = Images(prepared=encoded, shape=(3, 8, 8), num_classes=2, batch_size=4)
    assert np.array_equal(own.inputs(np.arange(COUNT)), decoded.array("image"))
    same = ("statistics", "classes", "class_counts", "counts", "duplicates", "notes", "split")
    assert {key: encoded.card[key] for key in same} == {key: decoded.card[key] for key in same}
    assert encoded.facts == decoded.facts
    assert encoded.card["arrays"]["image"] == {"shape": [COUNT, 3, 8, 8], "dtype": "uint8", "storage": "encoded"}
    files = encoded.column("image")
    assert isinstance(files, Ragged)
    assert files[7].tobytes() == (root / encoded.names[7]).read_bytes()


def test_a_jpeg_file_is_decoded_at_a_smaller_size_that_has_enough_pixels(tmp_path):
    root = folder(tmp_path / "images", ".jpg", side=8)
    path = root / "b" / "01.jpg"
    whole, reduced = (one(path, channels=3, shift=0, size=(20, 20), reduced=reduced) for reduced in (False, True))
    assert not np.array_equal(whole, reduced)
    assert np.abs(whole.astype(int) - reduced).mean() < 3
    turned = Image.open(path).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # upright when it is turned by 270 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    again = one(tmp_path / "turned.jpg", channels=3, shift=0, size=(20, 20), reduced=True)
    assert np.abs(reduced.astype(int) - again).mean() < 5


def test_a_random_crop_is_a_function_of_seed_epoch_and_row(tmp_path):
    column = data(folder(tmp_path / "images", ".jpg", side=4), tmp_path / "d", random_crop=[0.1, 0.5]).fields["input"]
    assert isinstance(column, Encoded)
    rows = np.arange(COUNT)
    first = column.decoded(rows, Draw(seed=0, epoch=3))
    assert np.array_equal(column.decoded(rows[::-1], Draw(seed=0, epoch=3)), first[::-1])
    for draw in (None, Draw(seed=0, epoch=4), Draw(seed=1, epoch=3)):
        assert all((one != other).any() for one, other in zip(first, column.decoded(rows, draw), strict=True))


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (100, 2)])
def test_a_random_crop_shows_a_part_of_its_share_and_ratio(size):
    """A ramp from left to right and one from top to bottom say which part a crop is."""
    across, down = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    file = io.BytesIO()
    Image.fromarray(np.stack([across, down, down], axis=2).astype(np.uint8)).save(file, "PNG")
    decode, rng = PixelDecoder((3, 16, 16), random_crop=(0.2, 0.4)), np.random.default_rng(0)
    lefts = []
    for _ in range(50):
        pixels = decode(file.getvalue(), rng).astype(float)
        width, height = (np.ptp(pixels[0], axis=1).mean() / 255, np.ptp(pixels[1], axis=0).mean() / 255)
        lefts.append(pixels[0, :, 0].mean() / 255)
        if size != (100, 2):  # of which no such part is there: it is as high as the image
            assert 0.1 < width * height < 0.45
            assert 0.6 < width * size[0] / (height * size[1]) < 1.6
    assert np.ptp(lefts) > 0.3


def epoch(batches: Batches) -> list[Batch]:
    return [batch for block in batches for batch in block]


def equal(some: list[Batch], others: list[Batch]) -> bool:
    return len(some) == len(others) and all(
        torch.equal(one.input, other.input) and torch.equal(one.target, other.target) and torch.equal(one.row, other.row)
        for one, other in zip(some, others, strict=True)
    )


@pytest.fixture(scope="module")
def crops(tmp_path_factory) -> Images:
    root = tmp_path_factory.mktemp("crops")
    return data(folder(root / "images", ".jpg", side=4), root / "d", random_crop=[0.1, 0.5])


@pytest.fixture
def few(monkeypatch) -> None:
    """Also a few files are decoded by other processes."""
    monkeypatch.setattr(loader, "ALONE", 1)


def loading(data: Images, *, split: str = "train", shuffle: bool = True, **settings) -> Batches:
    rows = data.rows(split)
    order = Order(len(rows), together=4 * settings.get("ranks", 1), shuffle=shuffle, seed=5)
    return Batches(data.fields, rows, order, block=2, **settings)


def test_any_number_of_processes_gives_the_same_batches_in_each_epoch(crops, few, monkeypatch):
    alone, several = loading(crops, num_workers=0), loading(crops, num_workers=2)
    epochs = []
    for number in range(2):
        alone.set_epoch(number)
        several.set_epoch(number)
        epochs.append(epoch(alone))
        assert equal(epoch(several), epochs[-1])
    assert not equal(*epochs)


def test_an_interrupted_epoch_goes_on_exactly(crops, few):
    whole, begun, resumed = (loading(crops, num_workers=2) for _ in range(3))
    whole.set_epoch(3)
    begun.set_epoch(3)
    blocks = iter(begun)
    first = [*next(blocks), *next(blocks)]
    resumed.load_state_dict(begun.state_dict())
    assert equal(first + epoch(resumed), epoch(whole))


def test_processes_of_a_training_share_the_crops_of_one(crops, few):
    whole = epoch(loading(crops, num_workers=0))
    shares = [epoch(loading(crops, rank=rank, ranks=2, num_workers=1)) for rank in range(2)]
    by_row = {int(row): pixels for batch in whole for row, pixels in zip(batch.row, batch.input, strict=True)}
    for batch in (batch for share in shares for batch in share):
        assert all(torch.equal(pixels, by_row[int(row)]) for row, pixels in zip(batch.row, batch.input, strict=True))


def test_a_validation_reads_the_middle_of_each_image(crops, few):
    (batch,) = epoch(loading(crops, split="val", shuffle=False, num_workers=1))
    assert np.array_equal(batch.input, crops.inputs(crops.rows("val")))


def test_no_process_outlives_the_iteration(crops, few):
    import psutil

    def workers() -> int:
        children = psutil.Process().children()
        return sum(worker_pool.WORKER in child.cmdline() for child in children if child.status() != psutil.STATUS_ZOMBIE)

    blocks = iter(loading(crops, num_workers=2))
    next(blocks)
    assert workers() == 2
    blocks.close()
    assert workers() == 0


def test_some_classes_and_unreadable_files(tmp_path):
    root = folder(tmp_path / "images", ".png")
    for number in (3, 20):
        path = root / "ab"[number % 2] / f"{number:02}.png"
        path.write_bytes(path.read_bytes()[:50])
    source = Folder(root=str(root), size=8, channels=3, storage="encoded", max_unreadable=2)
    kept = prepare(tmp_path / "d", source, classes=[1, 0])
    own = Images(prepared=kept, shape=(3, 8, 8), num_classes=2, batch_size=4)
    assert len(own) == COUNT - 2
    for row, name in enumerate(kept.names):
        assert np.array_equal(own.inputs(np.array([row]))[0], one(root / name, channels=3, shift=0, size=(8, 8)))
        assert kept.array("target")[row] == (name[0] == "a")


@pytest.mark.parametrize("crop", [[0.5], [0.5, 0.2], [0, 1], [0.2, 1.5], [0.1, 0.2, 0.3]])
def test_shares_that_are_none_are_refused(crops, crop):
    with pytest.raises(ValueError, match=r"data\.random_crop: expected two shares"):
        Images(prepared=crops.prepared, shape=(3, 8, 8), num_classes=2, batch_size=4, random_crop=crop)


def test_crops_of_decoded_images_are_refused(tmp_path):
    prepared = prepare(tmp_path / "d", Folder(root=str(folder(tmp_path / "images", ".png")), size=8, channels=3))
    assert isinstance(prepared.column("image"), Dense)
    with pytest.raises(ValueError, match="for images that are stored decoded"):
        Images(prepared=prepared, shape=(3, 8, 8), num_classes=2, batch_size=4, random_crop=[0.1, 1.0])


def test_a_damaged_file_of_the_store_is_named(crops):
    files = crops.fields["input"].files
    values = np.array(files.values)
    values[files.offsets[2] : files.offsets[3]] = 0
    damaged = Encoded(Ragged(values, files.offsets), crops.fields["input"].decode, (3, 8, 8))
    with pytest.raises(InputError, match=r"row 2 .*expected the content of an image"):
        damaged.take(np.array([1, 2]))
