"""The table of runs: columns, order, conditions, files, and what stands beside a damaged run."""

import csv
import sys
from pathlib import Path

import pytest

from pipelines.runs import __main__ as runs
from pipelines.runs import table
from src.config import command_line, listing
from src.errors import InputError
from tests.repository import ROOT, run
from tests.runs.stored import stored


@pytest.fixture
def three(project) -> Path:
    """Two classifiers and a network that was killed."""
    stored("cnn-1", "+experiment=cnn", hour=1, run="f00d", accuracy=0.95, f1_macro=0.9)
    stored("fnn-2", "+experiment=fnn", hour=2, accuracy=0.875, f1_macro=0.8)
    stored("cnn-3", "+experiment=cnn", "optimizer.lr=0.1", hour=3, status="KILLED")
    return project / "runs"


def lines(capsys, *arguments: str) -> list[list[str]]:
    """The words of each line that the command prints."""
    runs.main(arguments)
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_table_of_what_matters_the_newest_first(three, capsys):
    header, *rows, counts = lines(capsys)
    assert header == ["run", "state", "model", "test/accuracy", "test/f1_macro", "fit_seconds", "started"]
    assert [row[:5] for row in rows] == [
        ["cnn-3", "interrupted", "cnn", "-", "-"],
        ["fnn-2", "finished", "fnn", "0.8750", "0.8000"],
        ["cnn-1", "finished", "cnn", "0.9500", "0.9000"],
    ]
    assert " ".join(counts) == "3 runs: 2 finished, 1 interrupted"


@pytest.mark.slow
def test_a_condition_an_order_and_columns(three, capsys):
    chosen = ["where=test/accuracy > 0.8 or optimizer.lr == 0.1", "sort=-test/accuracy", "columns=run,optimizer.lr"]
    assert lines(capsys, *chosen)[1:-1] == [["cnn-1", "0.0050"], ["fnn-2", "0.0010"], ["cnn-3", "0.1000"]]
    assert [row[0] for row in lines(capsys, "sort=model,test/accuracy", "columns=run")[1:-1]] == ["cnn-1", "cnn-3", "fnn-2"]
    assert lines(capsys, "where=state == 'failed'") == [["0", "runs"]]
    for argument in ("sort=-acuracy", "columns=run,acuracy", "where=acuracy > 1"):
        with pytest.raises(InputError, match=rf"^{argument.partition('=')[0]}: .* received acuracy "):
            runs.main([argument])


def test_a_csv_file_has_every_column_in_full(three, capsys):
    runs.main(["output=all.csv", "where=model == 'cnn'"])
    rows = list(csv.DictReader(Path("all.csv").read_text().splitlines()))
    assert [row["run"] for row in rows] == ["cnn-3", "cnn-1"]
    assert (rows[1]["test/accuracy"], rows[1]["mlflow"], rows[0]["test/accuracy"]) == ("0.95", "f00d", "")
    assert {"optimizer.lr", "seed", "fit_seconds", "problem"} <= rows[0].keys()
    runs.main(["output=some.csv", "columns=run,seed"])
    assert Path("some.csv").read_text() == "run,seed\ncnn-3,0\nfnn-2,0\ncnn-1,0\n"


def test_a_terminal_gets_the_columns_that_fit(three):
    found = listing.rows(three)
    wide = table.shown(found, [], width=None).splitlines()
    narrow = table.shown(found, [], width=len(wide[0]) - 1).splitlines()
    assert [len(line) <= len(wide[0]) - 1 for line in narrow[:-1]] == [True] * 5
    assert narrow[0].split() == [name for name in wide[0].split() if name != "test/f1_macro"]
    assert narrow[-1].startswith("The line has no room for test/f1_macro.")


def test_a_damaged_run_is_named_below_the_table(three, capsys):
    (three / "fnn-2" / "metrics.json").write_text("{")
    (three / "cnn-1" / "config.yaml").write_text("name: \x1b[31m")
    runs.main([])
    printed = capsys.readouterr()
    assert "3 runs: 1 interrupted, 2 damaged" in printed.out
    assert "fnn-2 is damaged: " in printed.err
    assert "\x1b" not in printed.out


def test_what_is_stored_sends_no_control_codes_to_a_terminal(three, capsys):
    path = three / "cnn-1" / "config.yaml"
    path.write_text(path.read_text().replace("name: cnn", 'name: "a\\e[2Jb"'))
    assert ["cnn-1", "a", "[2Jb"] in lines(capsys, "columns=run,name")


@pytest.mark.slow
def test_the_command_imports_nothing_that_trains_or_records(three):
    heavy = "[name for name in ('torch', 'mlflow', 'pandas', 'lightning') if name in sys.modules]"
    code = f"import sys; from pipelines.runs.__main__ import main; main([]); print({heavy})"
    printed = run(three.parent, sys.executable, "-c", code, fresh=True, PYTHONPATH=str(ROOT)).stdout
    assert "cnn-1" in printed
    assert printed.endswith("[]\n")


def test_wrong_input_ends_with_two(project, capsys):
    assert command_line.call(runs.main, ["runs=nowhere"]) == 2
    assert command_line.call(runs.main, ["wher=x"]) == 2
    assert "nearest: where" in capsys.readouterr().err
