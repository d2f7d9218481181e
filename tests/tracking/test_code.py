"""The recorded code: the commit, and all that is not committed."""

from pathlib import Path

import pytest

from src.tracking import code
from src.tracking.code import Code
from tests.repository import commit, run


@pytest.fixture
def repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(code, "ROOT", project)
    run(project, "git", "init", "-q")
    return project


def test_without_a_commit_there_is_none(repository):
    assert Code.now() == Code()
    assert Code.now().tags() == {}


def test_new_files_are_in_the_diff(repository):
    (repository / "old.py").write_text("old = 1\n")
    (repository / ".gitignore").write_text("ignored.py\n")
    commit(repository)
    assert Code.now().tags()["git.dirty"] == "false"
    (repository / "old.py").write_text("old = 2\n")
    (repository / "a folder").mkdir()
    for name in ("a folder/nets [1].py", "ü.py", "ignored.py"):
        (repository / name).write_text(f"new = {name!r}\n")
    (repository / "large.bin").write_bytes(b"x" * (code.LARGEST + 1))
    index = (repository / ".git/index").read_bytes()
    state = Code.now()
    assert (repository / ".git/index").read_bytes() == index
    assert state.tags()["git.dirty"] == "true"
    assert "# left out, 1,048,577 bytes: large.bin" in state.diff.decode()
    other = repository / "other"
    run(repository, "git", "clone", "-q", ".", str(other))
    (repository / "changes.diff").write_bytes(state.diff)
    run(other, "git", "apply", "../changes.diff")
    assert {path.name for path in other.rglob("*.py")} == {"old.py", "nets [1].py", "ü.py"}
    assert (other / "old.py").read_text() == "old = 2\n"
    assert (other / "a folder/nets [1].py").read_text() == "new = 'a folder/nets [1].py'\n"


def test_passwords_in_the_diff_are_masked(repository):
    (repository / "tracking.yaml").write_text("uri: none\n")
    commit(repository)
    (repository / "tracking.yaml").write_text("uri: postgresql://ann:s3cret@host/mlflow  # \xe9\n", encoding="latin-1")
    diff = Code.now().diff
    assert b"s3cret" not in diff
    assert b"+uri: postgresql://ann:***@host/mlflow  # \xe9\n" in diff


def test_the_lock_of_dvc_is_no_code(repository):
    (repository / "code.py").write_text("one = 1\n")
    commit(repository)
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    assert Code.now().tags()["git.dirty"] == "false"
    commit(repository)
    (repository / "dvc.lock").write_text("stages: {}\n")
    assert Code.now().diff == b""
    (repository / "code.py").write_text("one = 2\n")
    assert b"one = 2" in Code.now().diff
    assert b"dvc.lock" not in Code.now().diff
