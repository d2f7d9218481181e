"""Images that a table lists: what is read, and what is refused."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.data.raw import SplitBy
from src.data.sources.table import Table
from src.errors import InputError
from tests.data.prepared import prepare

ROWS = {
    "path": ["img/0.png", "img/1.png", "img/Ä 2.png", "./img/3.png", "img/4.png", "img/5.png"],
    "label": ["10", "9", "10", "9", "10", "9"],
    "cat": ["1", "0", "True", "0", "1.0", "0"],
    "dog": ["0", "0", "1", "false", "1", "1"],
    "age": ["1.5", "-2", "1e3", "0", "7", "20.25"],
    "weight": ["70000", "71000", "72000", "73000", "74000", "75000"],
    "part": ["train", "train", "valid", "Test", "train", "validation"],
}


@pytest.fixture
def root(tmp_path) -> Path:
    """Six grey images, each with a level of its own, in a folder beside the tables."""
    (tmp_path / "img").mkdir()
    for number, name in enumerate(ROWS["path"]):
        Image.fromarray(np.full((4, 4), 10 * number, dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


def write(root: Path, rows: dict[str, Any] = ROWS, name: str = "table.csv") -> Path:
    frame, path = pd.DataFrame(rows), root / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def table(path: Path, target: Any = "label", *, gives: Any = "class", split: str | None = None, **settings: Any) -> Table:
    by = {name: settings.pop(name) for name in ("group", "time") if name in settings}
    columns: Any = {"path": "path", "target": target, "split": split, **by}
    return Table(table=str(path), columns=columns, gives=gives, **{"size": 4, "channels": 1, **settings})


def refused(source: Table) -> str:
    """The message with which the state and the data are refused alike."""
    messages = []
    for ask in (source.state, source.read):
        with pytest.raises(InputError) as caught:
            ask()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    return messages[0]


@pytest.mark.parametrize("name", ["table.csv", "table.TSV", "table.parquet"])
def test_classes_are_read_in_the_order_of_the_rows_and_named_by_their_paths(root, name):
    write(root, name=name.lower()).rename(root / name)
    raw = table(root / name).read()
    assert raw.arrays["image"][:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert raw.classes == ["9", "10"], "whole numbers are sorted by value"
    assert raw.arrays["target"].tolist() == [1, 0, 1, 0, 1, 0]
    assert raw.names == [f"img/{name}.png" for name in ("0", "1", "Ä 2", "3", "4", "5")]
    assert (raw.splits, raw.notes, raw.origin) == ({}, [], name)


def test_types_of_parquet_are_read_as_their_text(root):
    rows = {**ROWS, "label": [10, 9] * 3, "cat": [True, False] * 3, "age": [1.5, -2.0, 1e3, 0.0, 7.0, 20.25]}
    path = write(root, rows, "table.parquet")
    assert table(path).read().classes == ["9", "10"]
    assert table(path, ["cat"], gives="labels").read().arrays["target"].tolist() == [[1], [0]] * 3
    assert table(path, "age", gives="number").read().arrays["target"][2].tolist() == [1000]


def test_several_labels(root):
    raw = table(write(root), ["cat", "dog"], gives="labels").read()
    assert (raw.classes, raw.target_names) == (["cat", "dog"], None)
    assert raw.arrays["target"].tolist() == [[1, 0], [0, 0], [1, 1], [0, 0], [1, 1], [0, 1]]


def test_numbers_and_their_statistics_over_the_training_part(root, tmp_path):
    source = table(write(root), ["age", "weight"], gives="number", split="part")
    raw = source.read()
    assert (raw.classes, raw.target_names) == (None, ["age", "weight"])
    assert raw.arrays["target"].dtype == np.float32
    assert raw.arrays["target"][:, 0].tolist() == [1.5, -2, 1000, 0, 7, 20.25]
    assert {split: rows.tolist() for split, rows in raw.splits.items()} == {"train": [0, 1, 4], "val": [2, 5], "test": [3]}
    prepared = prepare(tmp_path / "prepared", source)
    assert prepared.card["target_names"] == ["age", "weight"]
    assert prepared.facts == {
        "shape": [1, 4, 4],
        "num_classes": None,
        "num_targets": 2,
        "target_mean": pytest.approx([6.5 / 3, 215_000 / 3]),
        "target_std": pytest.approx([np.std([1.5, -2, 7]), np.std([70_000, 71_000, 74_000])]),
    }
    assert np.array_equal(prepared.array("target"), raw.arrays["target"])


def test_the_only_column_that_is_left_is_the_target(root):
    path = write(root, {name: ROWS[name] for name in ("path", "part", "label")})
    assert table(path, None, split="part").read().classes == ["9", "10"]
    message = refused(table(write(root), None, split="part"))
    assert "expected one more column, or a name in data.columns.target; received 5 (label, cat, dog, age, weight)" in message


def test_the_state_changes_with_the_table_and_with_its_images_alone(root):
    path = write(root)
    states = [table(path).state()]
    (root / "img" / "of no row.png").write_bytes(b"")
    states.append(table(path).state())
    Image.fromarray(np.zeros((6, 6), dtype=np.uint8)).save(root / "img/0.png")
    states.append(table(path).state())
    write(root, {**ROWS, "label": ["10", *ROWS["label"][:-1]]})
    states.append(table(path).state())
    assert states[0] == states[1]
    assert len(set(states)) == 3


@pytest.mark.parametrize("name", ["../elsewhere.png", "{root}/elsewhere.png", "img/../../elsewhere.png", "."])
def test_paths_lie_below_the_root(root, name):
    inner = root / "tables"
    inner.mkdir()
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(root / "elsewhere.png")
    absolute = [str(root / path) for path in ROWS["path"]]
    path = write(inner, {**ROWS, "path": absolute})
    assert table(path, root=str(root)).read().names[3] == "img/3.png", "absolute paths below the root have its names"
    write(inner, {**ROWS, "path": [*absolute[:5], name.format(root=root)]})
    if name == ".":
        with pytest.raises(InputError, match=r"1 of 6 .*\n  \. \(line 7\): expected a file; received a folder"):
            table(path, root=str(root)).read()
        return
    write(inner, {**ROWS, "path": [f"img/{number}.png" for number in range(5)] + [name.format(root=root)]})
    message = refused(table(path))
    assert f"in each row of the column path (data.columns.path) the path of an image below {inner} (data.root" in message
    assert "received something else in 1 of 6 rows" in message
    assert message.endswith(f"\n  line 7: '{name.format(root=root)}'")


def test_missing_files_are_all_listed_before_any_is_decoded(root, tmp_path):
    names = [f"img/missing {number}.png" for number in range(12)]
    path = write(root, {"path": [*ROWS["path"], *names], "label": ["a", "b"] * 9})
    (root / "img/1.png").write_bytes(b"<html>")
    with pytest.raises(InputError) as caught:
        prepare(tmp_path / "prepared", table(path))
    assert "12 of 18 files cannot be read as images" in str(caught.value)
    lines = (tmp_path / "prepared.unreadable.txt").read_text().splitlines()
    assert lines[0] == "img/missing 0.png (line 8): there is no such file"
    assert len(lines) == 12
    raw = table(path, max_unreadable=13).read()
    assert raw.names == ["img/0.png", "img/Ä 2.png", "img/3.png", "img/4.png", "img/5.png"]
    assert raw.arrays["target"].tolist() == [0, 0, 1, 0, 1]
    assert raw.notes[0].startswith(
        "13 of 18 files cannot be read as images, and are left out: img/1.png (line 3), img/missing 0"
    )


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({}, {"target": "lable"}, r"a column lable \(data\.columns\.target\); there is none \(nearest: label\)"),
        ({}, {"split": "fold"}, r"a column fold .*; there is none \(the table has path, label, cat, dog, age, weight, part\)"),
        (
            {},
            {"target": ["cat", "dog"]},
            r"expected one column, with the name of the class; received \[cat, dog\]\. .*task=multi",
        ),
        ({}, {"target": ["age", "age"], "gives": "number"}, r"the names of different columns; received \[age, age\]"),
        (
            {"label": ["a", "", "a", "b", "", "a"]},
            {},
            r"the name of a class; .* in 2 of 6 rows.*\n  line 3: an empty cell\n  line 6",
        ),
        ({"label": ["a"] * 6}, {}, r"at least two classes in the column label; received one, a\."),
        ({}, {"target": ["cat", "age"], "gives": "labels"}, r"column age .* 0 or 1; .* in 5 of 6 rows.*\n  line 2: '1\.5'"),
        (
            {"age": ["1,5", "nan", "inf", "", "7", "old"]},
            {"target": "age", "gives": "number"},
            r"column age \(data\.columns\.target\) a number, with a decimal point; received something else in 5 of 6 rows.*"
            r"\n  line 2: '1,5'\n  line 3: 'nan'\n  line 4: 'inf'\n  line 5: an empty cell\n  line 7: 'old'$",
        ),
        (
            {"age": [str(1_700_000_000 + number) for number in range(6)]},
            {"target": "age", "gives": "number"},
            r"numbers that seven digits tell apart \(float32\); received numbers from 1700000000.0 to .*Subtract an offset",
        ),
        ({"age": ["1e300", *"12345"]}, {"target": "age", "gives": "number"}, r"numbers that seven digits tell apart"),
        ({"part": [*["train"] * 5, "dev"]}, {"split": "part"}, r"column part .* train, val or test; .*\n  line 7: 'dev'$"),
        ({"part": ["train"] * 6}, {"split": "part"}, r"rows for train, and for val or test or both, .* received train alone"),
        ({"part": ["test"] * 6}, {"split": "part"}, r"received test alone\. .*data\.columns\.split=null"),
        ({"path": ["", *ROWS["path"][1:]]}, {}, r"the path of an image below .*\n  line 2: an empty cell"),
    ],
)
def test_a_wrong_column_or_cell_is_named_with_its_line(root, change, settings, message):
    path = write(root, {**ROWS, **change})
    assert re.search(f"(?s){message}", refused(table(path, **settings)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "expected a header with the names of the columns; the file is empty"),
        ("t.csv", b"path,label\n\n", "expected a table with at least one row below its header; received none"),
        (
            "t.csv",
            b"path,label\na.png,x\nb.png,y,z\n",
            r"line 3: expected 2 cells, as in the header \(path, label\); received 3",
        ),
        (
            "t.csv",
            b"path;label\na.png;x\n",
            r"a column path \(data\.columns\.path\); there is none \(the table has path;label\)",
        ),
        ("t.csv", b"path,label,label\na.png,x,y\n", "columns with different names; received 'label' twice"),
        ("t.csv", "path,label\nä.png,x\n".encode("latin-1"), "line 2: expected text in UTF-8"),
        ("t.csv", b'path,label\n"a.png,x\n', "expected a table; received something else: unexpected end of data"),
        ("t.parquet", b"PAR1 and no more", "expected a parquet file; received something else: "),
        ("t.xlsx", b"", r"expected a table in a file \.csv, \.tsv, \.jsonl, \.parquet; received another ending"),
        ("t.csv", None, "expected a table that can be read; received none: .*No such file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"data\.table={tmp_path / name}.*{message}"):
        table(tmp_path / name).state()


def test_a_mark_of_byte_order_spaces_and_quoted_cells_are_read(root):
    os.rename(root / "img/1.png", root / "img/one, two.png")
    content = 'path, label\r\nimg/0.png, "a ""b"""\r\n\r\n"img/one, two.png", c \r\n'
    (root / "t.csv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    raw = table(root / "t.csv").read()
    assert raw.names == ["img/0.png", "img/one, two.png"]
    assert raw.classes == ['a "b"', "c"]


@pytest.mark.parametrize("gives", ["mask", "nothing"])
def test_a_table_of_masks_is_refused(root, gives):
    with pytest.raises(InputError, match=f"data.gives: expected class, labels or number, .*; received {gives}"):
        table(write(root), gives=gives)


def test_a_target_that_never_differs_in_training_is_refused(root, tmp_path):
    rows = {**ROWS, "age": ["3", "3", "1", "2", "3", "1"]}
    source = table(write(root, rows), ["weight", "age"], gives="number", split="part")
    with pytest.raises(
        InputError, match=r"numbers that differ among the examples of train; received one value alone for age\."
    ):
        prepare(tmp_path / "prepared", source)


@pytest.mark.parametrize(
    ("column", "order"),
    [
        (["2", "10", "1e1", "-1", "2.0", "3"], [1, 3, 3, 0, 1, 2]),
        (["2024-05-31", "2024-06-01", "2024-06-01T00:00", "2023-12-31", "2024-05-31 00:00:00", "2024-05-31T14:30"], None),
        (["2024-05-31T12:00+02:00", *["2024-05-31T23:00+02:00"] * 2, "2024-05-31T09:59Z", "2024-05-31T10Z", "2024-05-31T11Z"],
         None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_times_are_numbers_or_dates_in_their_order(root, name, column, order):
    raw = table(write(root, {**ROWS, "taken": column}, name), time="taken").read()
    assert raw.split_by == SplitBy("time", "taken", [column[3], column[0], column[5], column[1]])
    assert raw.arrays["split_by"].tolist() == (order or [1, 3, 3, 0, 1, 2])
    assert raw.arrays["split_by"].dtype == np.uint8


def test_dates_of_parquet_are_times(root):
    days = np.array(["2024-05-31", "2024-06-01", "2024-06-01", "2023-12-31", "2024-05-31", "2024-05-31T14:30"], "M8[s]")
    raw = table(write(root, {**ROWS, "taken": days}, "table.parquet"), time="taken").read()
    assert raw.arrays["split_by"].tolist() == [1, 3, 3, 0, 1, 2]
    assert raw.split_by.values[0] == "2023-12-31 00:00:00"


def test_groups_are_kept_for_the_images_that_can_be_read(root, tmp_path):
    path = write(root, {**ROWS, "patient": ["b", "a", "b", "c", "a", "d"]})
    (root / "img/3.png").write_bytes(b"")
    raw = table(path, group="patient", max_unreadable=1).read()
    assert raw.split_by == SplitBy("group", "patient", ["a", "b", "c", "d"])
    assert raw.arrays["split_by"].tolist() == [1, 0, 1, 0, 3]
    source = table(path, group="patient", max_unreadable=1)
    prepared = prepare(tmp_path / "prepared", source, split={"val": 1, "test": 1, "seed": 0, "folds": None, "fold": 0})
    assert prepared.card["split"] == {"val": 1, "test": 1, "seed": 0, "folds": None, "fold": 0, "group": "patient", "own": []}
    assert "the splits have whole groups, by patient: 1 in train, 1 in val, 1 in test." in prepared.card["notes"]
    by = prepared.array("split_by")
    assert sorted([*{*by[prepared.index(split)].tolist()}] for split in ("train", "val", "test")) == [[0], [1], [3]]
    others = {name: ROWS[name] for name in ("path", "label")}
    assert table(write(root, {**others, "patient": [*"abcdef"]}), None, group="patient", max_unreadable=1).read().classes == [
        "9",
        "10",
    ]


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ([*"abcdef"], {"group": "patients"}, r"a column patients \(data\.columns\.group\); there is none \("),
        (["a", "", *"abcd"], {"group": "by"}, r"column by \(data\.columns\.group\) the name of a group; .*\n  line 3: an "),
        (["a", *"12345"], {"time": "by"}, r"column by \(data\.columns\.time\) a number, or a date .*\n  line 2: 'a'$"),
        (["1", "nan", "", "inf", *"23"], {"time": "by"}, r"in 3 of 6 rows.*line 3: .nan.\n  line 4: an empty cell"),
        (["31.05.2024", *["2024-05-31"] * 5], {"time": "by"}, r"2024-05-31T14:30 \(ISO 8601\); .*\n  line 2: '31\.05\.2024'"),
        (["2024-05-31", *"12345"], {"time": "by"}, r"times of one kind .*a time without a zone \(2024-05-31\) and a number"),
        ([*"123456"], {"time": "by", "group": "by"}, r"by groups .* or by time .*; received both, by and by\. Leave one"),
    ],
)  # fmt: skip
def test_a_wrong_column_of_groups_or_times_is_named(root, change, settings, message):
    assert re.search(f"(?s){message}", refused(table(write(root, {**ROWS, "by": change}), **settings)))
