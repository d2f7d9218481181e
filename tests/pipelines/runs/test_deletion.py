"""Runs are deleted by name or by condition, after asking; a killed deletion is finished by the next one."""

import os
import pty
from pathlib import Path

import pytest

from pipelines.runs import __main__ as runs
from pipelines.runs import deletion
from src.config import command_line
from src.errors import InputError, InUse, RunFailed
from src.runs.files import read_json, write_json
from src.runs.folder import Run
from tests.repository import ROOT, start
from tests.runs.stored import stored


@pytest.fixture
def root(project) -> Path:
    """Three runs."""
    stored("cnn-1", "+experiment=cnn", hour=1, accuracy=0.95)
    stored("fnn-2", "+experiment=fnn", hour=2, accuracy=0.875)
    stored("fnn-3", "+experiment=fnn", hour=3, status="KILLED")
    return project / "runs"


def left(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "stay"),
    [
        (["delete=cnn-1"], ["fnn-2", "fnn-3"]),
        (["delete=cnn-1,runs/fnn-2"], ["fnn-3"]),
        (["delete=true", "where=model == 'fnn'"], ["cnn-1"]),
        (["delete=true", "where=test/accuracy < 0.9"], ["cnn-1", "fnn-3"]),
        (["delete=true", "where=state == 'failed'"], ["cnn-1", "fnn-2", "fnn-3"]),
    ],
)
def test_what_is_chosen_is_deleted(root, arguments, stay):
    runs.main([*arguments, "yes=true"])
    assert left(root) == stay


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["delete=cnn-9"], r"delete=cnn-9: expected the name of a run in runs; there is none"),
        (["delete=cnn-1,.."], r"delete=\.\.: expected the name of a run in runs"),
        (["delete=runs"], r"delete=runs: expected the name of a run in runs"),
        (["delete=true"], r"delete: expected names of runs.* or a condition"),
        (["delete=cnn-1", "where=seed == 0"], r"delete: expected names of runs.* or a condition"),
        (["delete=cnn-1", "output=x.csv"], r"output=x\.csv: expected delete= alone"),
        (["delete=cnn-1", "yes=maybe"], r"yes=maybe: expected true or false"),
        (["delete=cnn-1", "yes=false"], r"expected a terminal to ask in, or yes=true; .* This would delete cnn-1\."),
    ],
)
def test_what_is_not_clear_deletes_nothing(root, arguments, message):
    with pytest.raises(InputError, match=message):
        runs.main(["yes=true", *arguments])
    assert left(root) == ["cnn-1", "fnn-2", "fnn-3"]


def test_a_run_that_goes_on_keeps_all_of_them(root, capsys):
    with Run(root / "fnn-3").lock():
        with pytest.raises(InUse, match="fnn-3: expected runs that are over"):
            runs.main(["delete=true", "where=seed == 0", "yes=true"])
        assert left(root) == ["cnn-1", "fnn-2", "fnn-3"]
        assert command_line.call(runs.main, ["delete=fnn-3", "yes=true"]) == 3


def test_a_link_is_not_followed(root):
    (root / "fnn-4").symlink_to(root / "fnn-3")
    with pytest.raises(InputError, match="fnn-4: expected folders; a link leads elsewhere"):
        runs.main(["delete=true", "where=run == 'fnn-4'", "yes=true"])
    assert (root / "fnn-3" / "config.yaml").is_file()


def test_a_store_that_is_away_keeps_the_folder(root):
    path = root / "cnn-1" / "record.json"
    write_json(path, {**read_json(path), "uri": "http://127.0.0.1:9", "experiment": "athanor", "key": "k"})
    with pytest.raises(RunFailed, match=r"does not answer.* Nothing is deleted"):
        runs.main(["delete=cnn-1", "yes=true", "uri=http://127.0.0.1:9"])
    assert "cnn-1" in left(root)


def test_a_deletion_that_was_killed_is_finished(root, capsys):
    (root / deletion.DELETED).mkdir()
    (root / "cnn-1").rename(root / deletion.DELETED / "cnn-1")
    runs.main([])
    assert "2 runs: " in capsys.readouterr().out
    runs.main(["delete=cnn-1,fnn-2", "yes=true"])
    assert left(root) == ["fnn-3"]
    assert "deleted runs/cnn-1, which a killed command had begun\ndeleted runs/fnn-2\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "stay"), [("y", ["fnn-2", "fnn-3"]), ("", ["cnn-1", "fnn-2", "fnn-3"])])
def test_a_terminal_is_asked(root, answer, stay):
    terminal, standard_input = pty.openpty()
    command = ("python", "-m", "pipelines.runs", "delete=cnn-1")
    with start(root.parent, *command, stdin=standard_input, PYTHONPATH=str(ROOT)) as process:
        os.write(terminal, f"{answer}\n".encode())
        printed, errors = process.communicate(timeout=60)
    for number in (terminal, standard_input):
        os.close(number)
    assert process.returncode == 0, errors
    assert printed.startswith("Delete cnn-1 (0.0 MB)")
    assert left(root) == stay
