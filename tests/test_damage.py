"""Damaged files of a finished run: each command ends with one message that names the remedy, which works."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from src import evaluate
from src.config import command_line
from src.runs import checkpoints
from src.runs.folder import Run
from src.train import train
from tests.chaos import NOWHERE

FNN = ("+experiment=fnn", "trainer.max_epochs=1", "trainer.limit_batches=20", NOWHERE)
AGAIN = "Delete it and metrics.json beside it; the command that trained the run then writes both anew."


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def cut_after_a_line(path: Path) -> None:
    """Leaves valid YAML without the last keys."""
    path.write_text(path.read_text().partition("\nname: ")[0])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def letters(path: Path) -> None:
    path.write_bytes(b"\xe9\xff{")


def items(path: Path) -> None:
    path.write_text("[1, 2]")


def bad_line(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:20], *lines[2:], ""]))


def of_another_model(path: Path) -> None:
    content = checkpoints.read(path)
    name = next(name for name in content["state_dict"] if name.endswith("weight"))
    content["state_dict"][name] = content["state_dict"][name][:, :3]
    checkpoints.write(path, content)


def training(run: Run) -> int:
    return command_line.guard(lambda: train(command_line.configure(FNN)))


def resuming(run: Run) -> int:
    overrides = (f"resume={run.folder}", "trainer.max_epochs=2")
    return command_line.guard(lambda: train(command_line.configure(overrides)))


def evaluation(run: Run) -> int:
    return evaluate.main([f"run={run.folder}"])


CASES = [
    *(("metrics.json", damage, training, AGAIN) for damage in (cut, empty, folder, letters, items)),
    ("metrics.json", cut, evaluation, AGAIN),
    ("record.json", cut, training, AGAIN),
    ("record.json", folder, training, AGAIN),
    ("intervals.json", cut, training, AGAIN),
    ("intervals.json", empty, evaluation, AGAIN),
    ("timings.json", cut, training, AGAIN),
    ("identity.json", cut, training, AGAIN),
    ("evaluation_settings.json", items, training, AGAIN),
    *(("config.yaml", damage, training, AGAIN) for damage in (cut_after_a_line, empty, folder, letters, items)),
    ("config.yaml", cut_after_a_line, evaluation, AGAIN),
    ("config.yaml", cut_after_a_line, resuming, AGAIN),
    ("best.ckpt", of_another_model, evaluation, "Put the run's own file back, or delete"),
]


@pytest.fixture(scope="module")
def finished(shared_project: Path) -> Run:
    """A finished run in the working folder."""
    return train(command_line.configure(FNN))


@pytest.fixture
def restored(finished) -> Iterator[Run]:
    """It, with all its files put back after the test."""
    spare = finished.folder.with_name(".spare")
    shutil.copytree(finished.folder, spare)
    yield finished
    for other in finished.folder.parent.glob("[!.]*"):
        shutil.rmtree(other)
    spare.rename(finished.folder)


def named(value: object) -> str | None:
    return value.__name__ if callable(value) else None


@pytest.mark.parametrize(("name", "damage", "command", "remedy"), CASES, ids=named)
def test_a_damaged_file_is_named_with_its_remedy(
    restored, capsys, name: str, damage: Callable[[Path], None], command: Callable[[Run], int], remedy: str
):
    damage(restored.folder / name)
    assert command(restored) == 2
    errors = capsys.readouterr().err
    (message,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert str(restored.folder / name) in message
    assert remedy in message
    assert "Traceback" not in errors


@pytest.mark.slow
def test_the_command_that_trained_a_run_writes_its_files_anew(restored):
    names = {*{name for name, *_ in CASES} - {"best.ckpt"}, "metrics.json"}
    before = {name: (restored.folder / name).read_bytes() for name in names - {"record.json", "timings.json"}}
    weights = restored.best.read_bytes()
    for name in names:
        (restored.folder / name).unlink()
    assert training(restored) == 0
    assert all((restored.folder / name).is_file() for name in names)
    assert {name: (restored.folder / name).read_bytes() for name in before} == before
    assert restored.best.read_bytes() == weights


@pytest.mark.slow
def test_a_bad_line_of_the_journal_is_named_and_can_be_deleted(restored, capsys):
    bad_line(restored.journal)
    restored.metrics.unlink()
    assert training(restored) == 2
    assert f"{restored.journal}, line 2: expected a value in JSON; the line is damaged. Delete it" in capsys.readouterr().err
    lines = restored.journal.read_text().splitlines(keepends=True)
    restored.journal.write_text("".join(lines[:1] + lines[2:]))
    assert training(restored) == 0


@pytest.mark.parametrize("command", [resuming, evaluation], ids=named)
def test_a_run_that_is_a_file(restored, command, capsys):
    run = Run(restored.folder.with_name("a-file"))
    run.folder.touch()
    try:
        assert command(run) == 2
    finally:
        run.folder.unlink()
    assert "expected the folder of a run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_file_of_another_run_does_not_hold_up_a_new_one(restored, capsys):
    cut(restored.identity)
    overrides = (*FNN, "seed=1")
    assert command_line.guard(lambda: train(command_line.configure(overrides))) == 0
    assert f"how it differs from {restored.folder.name} is not known" in capsys.readouterr().out
