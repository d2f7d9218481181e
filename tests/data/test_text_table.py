"""Texts in the rows of tables: what is read, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.data.columns import Ragged
from src.data.sources.sentence_polarity import SentencePolarity
from src.data.sources.text_table import TextTable
from src.data.tokenize import TEXT, decoded
from src.errors import InputError
from tests import texts
from tests.data.prepared import prepare

ROWS = {
    "review": ["A great film.", 'Dull, and "flat".', "Ärger über Öl", "1,000 $ lost", "fine\nin two lines", "plain"],
    "label": ["good", "bad", "bad", "bad", "good", "good"],
    "funny": ["1", "0", "1", "0", "false", "True"],
    "sad": ["0", "1", "1", "1", "0", "0"],
    "stars": ["4.5", "1", "2", "1.5", "4", "3"],
    "author": ["ann", "bob", "cy", "bob", "ann", "di"],
}


def write(folder: Path, name: str = "reviews.csv", rows: dict[str, Any] = ROWS, **settings: Any) -> Path:
    frame, path = pd.DataFrame(rows), folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",", **settings)
    return path


def table(path: Path, target: Any = "label", *, gives: Any = "class", **settings: Any) -> TextTable:
    by = {name: settings.pop(name) for name in ("split", "group", "time") if name in settings}
    columns: Any = {"target": target, **by}
    defaults: dict[str, Any] = {"others": {}, "encoding": None, "text": "review", "tokenizer": texts.TOKENIZER}
    return TextTable(path=str(path), columns=columns, gives=gives, **{"max_tokens": None, **defaults, **settings})


def read(source: TextTable) -> list[str]:
    column = source.read().arrays[TEXT]
    assert isinstance(column, Ragged)
    return decoded(column)


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.tsv", "reviews.jsonl", "reviews.parquet"])
def test_every_format_has_the_same_texts(name, tmp_path):
    source = table(write(tmp_path, name))
    raw = source.read()
    assert read(source) == ROWS["review"]
    assert (raw.classes, raw.arrays["target"].tolist()) == (["bad", "good"], [1, 0, 0, 0, 1, 1])
    assert raw.reading == {"columns": ["review"]}


@pytest.mark.parametrize(("written", "stated"), [("utf-8-sig", None), ("utf-16", None), ("latin-1", "latin-1")])
def test_an_encoding_is_known_by_its_mark_or_stated(written, stated, tmp_path):
    assert read(table(write(tmp_path, encoding=written), encoding=stated)) == ROWS["review"]


def test_another_encoding_is_refused_with_its_line(tmp_path):
    path = write(tmp_path, encoding="latin-1")
    with pytest.raises(InputError, match=r"line 4: expected text in UTF-8; received other bytes.* data.encoding=latin-1"):
        table(path).state()
    with pytest.raises(InputError, match="expected an encoding that Python knows, as latin-1; received klingon"):
        table(path, encoding="klingon").state()


@pytest.mark.parametrize(
    ("gives", "target", "values"),
    [("labels", ["funny", "sad"], [[1, 0], [0, 1]]), ("number", "stars", [[4.5], [1.0]])],
)
def test_labels_and_numbers(gives, target, values, tmp_path):
    raw = table(write(tmp_path), target, gives=gives).read()
    assert raw.arrays["target"][:2].tolist() == values
    assert (raw.classes or raw.target_names) == ([target] if isinstance(target, str) else target)


def test_further_files_are_splits(tmp_path):
    train, test = write(tmp_path), write(tmp_path, "new.jsonl", {name: cells[:2] for name, cells in ROWS.items()})
    raw = table(train, others={"val": None, "test": str(test)}).read()
    assert {split: rows.tolist() for split, rows in raw.splits.items()} == {"train": [*range(6)], "test": [6, 7]}
    assert raw.names is not None
    assert (raw.names[0], raw.names[6]) == ("reviews.csv, line 2", "new.jsonl, line 1")
    with pytest.raises(InputError, match="expected no split, group and time beside files of the splits"):
        table(train, others={"test": str(test)}, group="author")


def test_a_label_that_only_the_test_has_is_said(tmp_path, capsys):
    train = write(tmp_path)
    test = write(tmp_path, "new.csv", {**{name: cells[:2] for name, cells in ROWS.items()}, "label": ["odd", "odd"]})
    prepare(tmp_path / "p", table(train, others={"test": str(test)}), split={"val": 2, "seed": 0}, max_duplicates=1.0)
    assert "1 class has no example in train: odd." in capsys.readouterr().err


def test_a_text_is_cut_and_counted(tmp_path, capsys):
    prepared = prepare(tmp_path / "p", table(write(tmp_path), max_tokens=3), split={"val": 1, "test": 1, "seed": 0})
    assert "data: noise: 4 texts are cut after 3 tokens." in capsys.readouterr().err
    assert prepared.facts["longest"] == 3
    assert prepared.card["reading"]["max_tokens"] == 3


def test_the_tokenizer_knows_the_training_split_alone(tmp_path):
    prepared = prepare(tmp_path / "p", table(write(tmp_path)), split={"val": 1, "test": 2, "seed": 0})
    vocabulary = json.loads(prepared.card["reading"]["tokenizer"])["model"]["vocab"]
    column = prepared.column(TEXT)
    assert isinstance(column, Ragged)
    known = {split: " ".join(column[row].tobytes().decode() for row in prepared.index(split)) for split in ("train", "test")}
    assert "PAD" not in vocabulary
    assert {word for word in vocabulary if word.isalpha()} <= {*re.findall(r"\w+", known["train"].lower())}
    assert len(prepared.facts["tokenizer_hash"]) == 64


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"review": ["a", " ", "c", "d", "e", "f"]}, {}, r"column review \(data.text\) a text.* 1 of 6 rows"),
        ({}, {"text": "reviews"}, r"expected a column reviews \(data.text\); there is none \(nearest: review\)"),
        ({}, {"target": "labels"}, r"expected a column labels \(data.target\)"),
        ({}, {"target": None}, r"expected one more column, or a name in data.target; received 5"),
        ({"label": ["one"] * 6}, {}, "expected at least two classes in the column label; received one, one"),
        ({}, {"gives": "mask"}, "data.gives: expected class, labels or number"),
    ],
)
def test_a_wrong_table_is_refused(change, settings, message, tmp_path):
    path = write(tmp_path, rows={**ROWS, **change})
    with pytest.raises(InputError, match=message):
        table(path, **settings).state()


@pytest.mark.parametrize(
    ("line", "message"), [("[1]", "expected a JSON object; received list"), ("{", "received something else")]
)
def test_a_wrong_line_of_json_is_refused(line, message, tmp_path):
    path = write(tmp_path, "reviews.jsonl")
    path.write_text(path.read_text() + f"\n{line}\n")
    with pytest.raises(InputError, match=f"line 8: .*{message}"):
        table(path).state()


def test_a_wrong_line_of_reviews_is_refused(tmp_path):
    from src.data.sources.files import Local

    (tmp_path / "all").write_bytes("1 fine \x85 film\n0 dull\n".encode("latin-1"))
    source = SentencePolarity(files=Local(root=str(tmp_path)), name="all", tokenizer=texts.TOKENIZER, max_tokens=None)
    raw = source.read()
    assert np.array_equal(raw.arrays["target"], [1, 0])  # type: ignore[arg-type]
    (tmp_path / "all").write_text("1 fine\n2 dull\n")
    with pytest.raises(InputError, match="all, line 2: expected 0 or 1, a space and a sentence"):
        source.read()
