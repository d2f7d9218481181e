"""Local and published files: where they are looked for, and what is refused."""

import hashlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from src.data.sources import files
from src.data.sources.files import Published
from src.errors import InputError

CONTENTS = {f"train/{kind}/{number}.png": f"{kind} {number}".encode() for kind in ("image", "label") for number in (9, 10)}
NAMES = [*CONTENTS]
NOWHERE = "http://127.0.0.1:9/"  # the port of the discard service, which nothing listens to


def write(folder: Path, contents: Mapping[str, bytes] = CONTENTS) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def cache(project, monkeypatch) -> Path:
    """The folder of this data set in DATA_CACHE."""
    monkeypatch.setenv("DATA_CACHE", str(project / "cache"))
    return project / "cache" / "small"


def published(project: Path, *mirrors: str) -> Published:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    return Published(name="small", folder=str(project / "downloads"), mirrors=mirrors or (NOWHERE,), files=hashes)


def read(files: Published) -> dict[str, bytes]:
    return {name: files.content(name) for name in NAMES}


def test_data_cache_comes_first(project, cache):
    write(cache)
    write(project / "downloads" / "small", dict.fromkeys(NAMES, b"not read"))
    assert read(published(project)) == CONTENTS


def test_files_that_data_cache_lacks_come_from_the_downloads(project, cache):
    write(cache, {name: CONTENTS[name] for name in NAMES[:2]})
    write(project / "downloads" / "small", {name: CONTENTS[name] for name in NAMES[2:]})
    assert read(published(project)) == CONTENTS


@pytest.mark.parametrize("folder", ["cache", "downloads"])
def test_a_file_with_another_hash_is_refused(project, cache, folder):
    path = write(project / folder / "small", {**CONTENTS, NAMES[2]: b"imag"}) / NAMES[2]
    with pytest.raises(InputError, match=r"expected SHA-256 [0-9a-f]{64}; received [0-9a-f]{64}.*Delete it") as caught:
        read(published(project))
    assert str(path) in str(caught.value)


def test_unreachable_mirrors_are_listed(project):
    with pytest.raises(InputError) as caught:
        read(published(project, NOWHERE, "http://127.0.0.1:9/second/"))
    message = str(caught.value)
    folder = project / "downloads" / "small"
    assert f"{NAMES[0]} could not be downloaded. Put it into $DATA_CACHE/small/ or into {folder}/" in message
    assert message.count("127.0.0.1:9") >= 2
    assert not [path for path in project.glob("downloads/**/*") if path.is_file()]


@pytest.fixture
def mirror(project) -> Iterator[tuple[str, Path, list[str]]]:
    """A server of a folder: its address, the folder, and the requested paths."""
    folder = project / "served"
    folder.mkdir()
    requested: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, directory=str(folder), **keywords)

        def log_message(self, format, *arguments):
            requested.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", folder, requested
        finally:
            server.shutdown()
            thread.join()


def test_missing_files_are_downloaded_once(project, mirror):
    address, folder, requested = mirror
    write(folder)
    files = published(project, address)
    assert files.names("train/label") == ["train/label/9.png", "train/label/10.png"]
    for _ in range(2):
        assert read(files) == CONTENTS
    assert requested == [f"/{name}" for name in NAMES]
    assert (project / "downloads/small/train/image/9.png").is_file()


def test_the_next_mirror_is_tried_where_one_fails(project, mirror):
    address, folder, requested = mirror
    write(folder)
    assert read(published(project, NOWHERE, f"{address}nothing/here/", address)) == CONTENTS
    assert len([path for path in requested if path.startswith("/nothing/here/")]) >= len(NAMES)  # each answered by 404
    assert {f"/{name}" for name in NAMES} <= set(requested)


def test_a_mirror_with_other_bytes_is_refused(project, mirror):
    address, folder, _ = mirror
    write(folder, dict.fromkeys(NAMES, b"other"))
    with pytest.raises(InputError, match=r"could not be downloaded(.|\n)*hash"):
        read(published(project, address))
    assert not [path for path in project.glob("downloads/**/*") if path.is_file()]


def test_the_state_is_that_of_the_hashes(project):
    files = published(project)
    assert files.state(files.names("train/image")) != files.state(files.names("train/label"))
    assert files.state(NAMES) == published(project, "http://elsewhere/").state(NAMES)


def test_files_of_a_folder_come_in_the_order_of_their_paths(tmp_path):
    names = ["b.png", "a/z.png", "a/b/c.png", "a.png", "a-b/0.png", "a/b.png", "B/0.png", ".hidden/0.png", "a/.hidden.png"]
    write(tmp_path, dict.fromkeys(names, b""))
    (tmp_path / "a" / "link").symlink_to("..")
    (tmp_path / "a" / "loop.png").symlink_to("loop.png")
    found, links = files.walk(tmp_path)
    assert found == sorted(found, key=Path)
    assert files.below(tmp_path, found) == [
        *("B/0.png", "a/b/c.png", "a/b.png", "a/loop.png", "a/z.png", "a-b/0.png", "a.png", "b.png"),
    ]
    assert files.below(tmp_path, links) == ["a/link"]
