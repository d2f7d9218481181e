import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import generated_text
from pipelines.gallery import rows, table
from pipelines.gallery.__main__ import PAGE
from pipelines.gallery.rows import Row
from src.errors import InputError, RunFailed
from tests import forkserver
from tests.repository import ROOT


@pytest.fixture
def row(tmp_path: Path, monkeypatch) -> Row:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(subprocess, "Popen", forkserver.Popen)  # the commands of rows start in a moment
    paths = [f"paths.runs={tmp_path}/runs", f"paths.prepared={tmp_path}/data", "tracking.uri=http://127.0.0.1:9"]
    return Row("constant", ["+experiment=most_frequent", *paths], [0, 1], published="0.1", folder=tmp_path)


def test_the_page_shows_what_the_committed_rows_say():
    assert generated_text.read(ROOT / PAGE, "gallery") == table.markdown(rows.read())


def test_every_row_of_params_is_measured_and_committed():
    listed = rows.read()
    assert {path.stem for path in (rows.HERE / "rows").glob("*.json")} == {row.name for row in listed} != set()
    assert all(row.measured for row in listed)


@pytest.mark.cluster
def test_a_row_is_measured_by_its_own_command_for_each_seed(row: Row, tmp_path: Path):
    assert row.measured == {}
    row.measure()
    content = row.measured
    assert {run["run"] for run in content["runs"].values()} == {path.name for path in (tmp_path / "runs").glob("most*")}
    assert len(content["runs"]) == 2
    assert not any("/" in name for run in content["runs"].values() for name in run["test"])
    value, deviation = rows.mean(content, "accuracy")
    assert value == pytest.approx(0.1, abs=0.02)
    assert deviation == 0
    header, _, line = table.markdown([row]).splitlines()
    assert "accuracy" in header
    assert f"{value:.4f} ± 0.0000" in line
    assert "| 0.1 |" in line
    for other in ({"seeds": [0]}, {"arguments": [*row.arguments, "seed=3"]}, {"shown": ["recall/0"]}):
        changed = Row(**{**vars(row), **other})
        assert changed.measured == {}
        assert table.markdown([changed]) == ""


@pytest.mark.cluster
def test_a_row_keeps_the_metrics_of_a_class_that_it_or_the_headline_shows(row: Row):
    headline = "+evaluation.headline={recall/0:max}"
    one = Row(**{**vars(row), "seeds": [0], "arguments": [*row.arguments, headline]})
    one.measure()
    assert table.markdown([one]).startswith("| `python -m src.train ...` | accuracy | f1 macro | log loss | recall/0 |")
    more = Row(**{**vars(one), "shown": ["accuracy", "recall/1"]})
    assert more.measured == {}
    more.measure()
    assert {"accuracy", "recall/0", "recall/1"} <= {*more.measured["runs"]["seed=0"]["test"]}


def test_uncommitted_rows_do_not_make_a_run_dirty(tmp_path: Path):
    assert not rows.is_dirty(tmp_path)
    rows_only = "diff --git a/pipelines/gallery/rows/fnn.json b/pipelines/gallery/rows/fnn.json\n"
    for text, dirty in (("", False), (rows_only, False), (f"{rows_only}diff --git a/src/train.py b/src/train.py\n", True)):
        (tmp_path / "uncommitted.diff").write_text(text)
        assert rows.is_dirty(tmp_path) is dirty


@pytest.mark.cluster
def test_a_row_trains_what_its_arguments_name_and_one_of_each(row: Row, tmp_path: Path, monkeypatch):
    other = Row(**{**vars(row), "name": "other", "arguments": [*row.arguments, "data.batch_size=<constant>"]})
    monkeypatch.setattr(rows, "read", lambda: [row, other])
    with pytest.raises(RunFailed, match=r"data.batch_size=\S*/runs/most_frequent-"):  # it is the folder of a run
        other.measure()
    each = Row(**{**vars(row), "seeds": [0], "each": ["data.batch_size=8", "data.batch_size=9"]})
    each.measure()
    assert [*each.measured["runs"]] == ["data.batch_size=8 seed=0", "data.batch_size=9 seed=0"]
    whole = Row(**{**vars(each), "seeds": [0, 1]}).full_command
    assert whole.startswith("python -m src.train -m +experiment=most_frequent ")
    assert whole.endswith(" seed=0,1 data.batch_size=8,9")
    done = subprocess.run(each.full_command.split(), capture_output=True, text=True, check=True)
    assert done.stdout.count("This run exists; nothing is trained.") == 2
    assert f"`{each.full_command.removeprefix('python -m src.train ')}`" in table.markdown([each])


def test_a_command_that_fails_leaves_no_row(row: Row):
    with pytest.raises(RunFailed, match="expected exit code 0; received 2"):
        Row(**{**vars(row), "arguments": ["+experiment=most_frequent", "nothing=1"]}).measure()
    assert not row.path.exists()


def test_a_name_that_is_no_row_is_refused():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.gallery", "measure", "nothing"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "nothing: expected a row of" in done.stderr


def test_a_generated_text_can_be_replaced(tmp_path: Path):
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n")
    generated_text.replace(path, "a", "new")
    assert generated_text.read(path, "a") == "new"
    assert path.read_text() == "before\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nafter\n"
    with pytest.raises(InputError, match="expected the comments <!-- b -->"):
        generated_text.replace(path, "b", "lost")
    assert generated_text.read(path, "a") == "new"
