"""A prepared folder that was changed is refused, an incomplete one is prepared anew, and a copy is opened."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.data import seal
from src.errors import InputError
from tests.data.prepared import prepare
from tests.data.test_store import Failing, digests
from tests.pictures import Arrays, noise


def zero(path: Path) -> None:
    array = np.load(path, mmap_mode="r+")
    array[:] = 0
    array.flush()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: zero(folder / "image.npy"),
        lambda folder: zero(folder / "target.npy"),
        lambda folder: shutil.copy(folder / "train.index.npy", folder / "test.index.npy"),
        lambda folder: shutil.copy2(folder / "train.index.npy", folder / "val.index.npy"),
        lambda folder: (folder / "card.json").write_text((folder / "card.json").read_text().replace("class 0", "class 9")),
        lambda folder: os.truncate(folder / "image.npy", 300),
    ],
)
def test_data_that_were_changed_are_refused_with_the_remedy(tmp_path, change):
    folder = prepare(tmp_path / "d").folder
    before = digests(folder)
    change(folder)
    (name,) = [name for name, digest in digests(folder).items() if digest != before[name]]
    for _ in range(2):  # the refusal seals nothing
        with pytest.raises(InputError, match=rf"d/{name}: expected the prepared data .* changed since.*rm -r {folder}\)"):
            prepare(folder, Failing())
    shutil.rmtree(folder)
    prepare(folder)
    assert digests(folder)[name] == before[name]


def test_a_copy_is_read_whole_at_its_first_opening_only(tmp_path, monkeypatch):
    prepare(tmp_path / "d")
    shutil.copytree(tmp_path / "d", tmp_path / "copy", copy_function=shutil.copy)
    read: list[str] = []
    whole = seal.digest
    monkeypatch.setattr(seal, "digest", lambda path: read.append(path.name) or whole(path))
    prepare(tmp_path / "copy", Failing())
    assert {"image.npy", "card.json"} <= {*read}
    read.clear()
    prepare(tmp_path / "copy", Failing())
    prepare(tmp_path / "d", Failing())
    assert not read


def test_a_copy_in_a_folder_that_cannot_be_written_is_opened(tmp_path, monkeypatch):
    prepare(tmp_path / "d")
    os.utime(tmp_path / "d/image.npy")

    def read_only(path: Path, content: object) -> None:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(seal, "write_json", read_only)
    assert len(prepare(tmp_path / "d", Failing()).array("image")) == 120


@pytest.mark.parametrize(
    "lost", [["card.json"], ["image.npy"], ["test.index.npy"], ["seal.json"], ["seal.json", "card.json"], None]
)
def test_a_folder_that_lacks_a_file_is_prepared_anew(tmp_path, capsys, lost):
    folder = prepare(tmp_path / "d").folder
    before = {name: digest for name, digest in digests(folder).items() if name != "seal.json"}
    for path in list(folder.iterdir()) if lost is None else [folder / name for name in lost]:
        path.unlink()
    prepare(folder)
    assert {name: digest for name, digest in digests(folder).items() if name != "seal.json"} == before
    assert "it is prepared anew" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    prepare(folder, Failing())


def test_a_seal_that_was_cut_off_is_none(tmp_path):
    folder = prepare(tmp_path / "d", Arrays(*noise(120))).folder
    (folder / "seal.json").write_bytes((folder / "seal.json").read_bytes()[:40])
    assert seal.missing(folder) == "seal.json"
    prepare(folder)
    assert seal.missing(folder) is None
