"""A text as a stream of tokens: its splits, its windows, and the order in which a training takes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src.config import assembly, composition
from src.data.columns import Windows
from src.data.loading import Loading
from src.data.token_stream import FOLLOWING, NONE, TokenStream
from src.data.tokenize_stream import BYTES, TOKENS, pieces
from src.data.tokenizer import Tokenizer
from src.errors import InputError
from src.training.loaders import Loaders
from tests import streams


def stream(*overrides: str, path: Path | str = "text.txt") -> TokenStream:
    config = composition.compose([*streams.TINY, "model=gpt", f"data.path={path}", *overrides])
    prepared = assembly.prepare(config)
    content: Any = OmegaConf.to_container(assembly.complete(config, prepared))
    data = assembly.data_of(content, prepared)
    assert isinstance(data, TokenStream)
    return data


@pytest.fixture
def written(project) -> str:
    return streams.write(project / "text.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["characters", "bpe", "words"])
def test_a_split_is_read_whole_each_token_once(written, kind):
    data = stream(f"data.tokenizer.kind={kind}", "data.tokenizer.size=300")
    cut = int(0.9 * len(written))
    for split, own in (("train", written[:cut]), ("val", written[cut:]), ("test", written[cut:])):
        rows = data.rows(split)
        window = data.examples(rows)
        inside = window[FOLLOWING] != NONE
        tokens, sizes = data.tokenizer.spans([own])
        assert window[FOLLOWING][inside].tolist() == tokens[1:].tolist()
        assert window[TOKENS][inside].tolist() == tokens[:-1].tolist()
        assert window[BYTES][inside].tolist() == sizes[1:].tolist()
        assert not window[BYTES][~inside].any()
        assert np.array_equal(data.targets(rows), window[FOLLOWING])
        assert sizes.sum() == len(own.encode())
        if kind != "words":  # they lose the spaces
            assert data.tokenizer.decode(tokens.tolist()) == own


def test_bytes_of_what_has_no_token_or_is_unknown():
    tokenizer = Tokenizer.fit(["a b"], {"kind": "words", "size": 30, "lowercase": True})
    numbers, sizes = tokenizer.spans(["  A  é ", "\n", "b", " "])
    assert (len(numbers), sizes.tolist()) == (3, [5, 3, 3])
    assert sum(number in tokenizer.special for number in numbers.tolist()) == 1
    assert [part.tolist() for part in tokenizer.spans([" "])] == [[], []]


def test_a_long_text_is_tokenized_in_pieces_that_end_with_a_line():
    line = "words of a line\n"
    assert "".join(own := [*pieces(20_000 * line)]) == 20_000 * line
    assert len(own) == 5
    assert all(piece.endswith("\n") for piece in own)
    assert [*map(len, pieces(400_000 * "x"))] == 6 * [65_536] + [6_784]
    assert [*pieces("")] == []


def test_an_epoch_goes_over_the_text_once_from_another_position_each_time(written):
    data = stream()
    rows = data.training_rows()
    length = len(rows) + 8
    epochs = [np.concatenate(data.order("train", together=4, epoch=epoch, seed=0)) for epoch in range(12)]
    for own in epochs:
        starts = np.sort(rows[own])
        assert (np.diff(starts) == 8).all()
        assert starts[-1] + 8 < length
        assert len(own) * 8 > length - 16
        assert (data.examples(rows[own])[FOLLOWING] != NONE).all()
    assert len({int(own.min()) for own in epochs}) > 4
    assert not np.array_equal(epochs[0], np.sort(epochs[0]))
    again = data.order("train", together=4, epoch=3, seed=0)
    assert np.array_equal(np.concatenate(again), epochs[3])
    assert not np.array_equal(np.concatenate(data.order("train", together=4, epoch=3, seed=1)), epochs[3])


def test_epochs_of_some_batches_go_on_where_the_last_one_ended(written):
    data = stream("data.epoch_batches=7")
    orders = [data.order("train", together=4, epoch=epoch, seed=0) for epoch in range(40)]
    assert {(len(order), len(batch)) for order in orders for batch in order} == {(7, 4)}
    whole = np.concatenate([batch for order in orders for batch in order])
    windows = len(np.concatenate(stream().order("train", together=4, epoch=0, seed=0)))
    passes = [whole[start : start + windows] for start in range(0, len(whole) - windows, windows)]
    assert len(passes) > 3
    assert all((np.diff(np.sort(own)) == 8).all() for own in passes)
    loaders = Loaders(data, Loading(), ranks=2, accumulate=1, seed=0)
    assert (loaders.steps, loaders.order("train", shuffle=True).sizes(3)) == (7, 7 * [8])


def test_a_training_in_memory_and_from_disk_reads_the_same(written):
    data = stream("data.epoch_batches=3")
    batches = []
    for gib in (4.0, 0.0):
        loader = Loaders(data, Loading(in_memory_gib=gib), ranks=1, accumulate=1, seed=0).loader(
            "train", block=2, device=torch.device("cpu"), shuffle=True
        )
        batches.append([batch for block in loader for batch in block])
    assert len(batches[0]) == 3
    for one, other in zip(*batches, strict=True):
        assert one.row.tolist() == other.row.tolist()
        assert one.target.tolist() == other.target.tolist() == data.targets(one.row.numpy()).tolist()
        assert one.input[TOKENS].tolist() == other.input[TOKENS].tolist()


def test_splits_of_files_of_their_own(project):
    for number in (2, 1):
        streams.write(project / f"plays/{number}.txt", 20, seed=number)
    (project / "plays/notes.md").write_text("not a part of it")
    streams.write(project / "val.txt", 5, seed=3)
    data = stream("data.val_path=val.txt", "data.dataset.split.test=0.25", path="plays")
    whole = "\n".join((project / f"plays/{number}.txt").read_text(encoding="utf-8") for number in (1, 2))
    cut = int(0.75 * len(whole))
    for split, own in (("train", whole[:cut]), ("val", streams.text(5, seed=3)), ("test", whole[cut:])):
        rows = data.rows(split)
        assert data.text(rows[0], 10**6) == own
    assert data.show(data.rows("val")[0]).text == streams.text(5, seed=3)[:8]
    assert data.prepared.card["counts"] == {"train": 1, "val": 1, "test": 1}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.context=4000"], r"data\.context=4000: expected at least 4001 tokens in the split train of text_stream; it has"),
        (["data.dataset.split.val=0"], "expected a text that is long enough for its splits; nothing is left for val"),
        (["data.dataset.split.val=0.6", "data.dataset.split.test=0.4"], "whose sum is below 1; received"),
        (["data.path=none.txt"], r"data\.path=none\.txt: expected a text file, or a folder with files \*\.txt; there is none"),
        (["data.path=latin.txt"], "latin.txt, line 1: expected text in UTF-8; received other bytes.*data.encoding=latin-1"),
        (["data.val_path=text.txt"], "expected at most 0.0% of a split to be in another split too"),
        (["data.path=one.txt"], "expected texts with two different tokens at least; received 1"),
    ],
)
def test_what_is_refused(written, project, overrides, message):
    (project / "latin.txt").write_bytes("café\n".encode("latin-1") * 40)
    (project / "one.txt").write_text(100 * "a")
    if "data.val_path=text.txt" in overrides:
        overrides = [*overrides, "data.dataset.split.test=0"]
    with pytest.raises(InputError, match=message):
        stream(*overrides)


def test_windows_of_several_series():
    values = np.arange(10, 20)
    windows = Windows(values, length=3, shift=1, ends=np.array([4, 10]), padding=-1)
    rows = np.array([0, 2, 3, 4, 8, 9])
    expected = [[11, 12, 13], [13, -1, -1], [-1, -1, -1], [15, 16, 17], [19, -1, -1], [-1, -1, -1]]
    assert windows.take(rows).tolist() == expected
    assert windows.held(rows[1:]).take(np.arange(5)).tolist() == expected[1:]
    assert windows.held(rows[3:]).take(np.array([2, 0])).tolist() == [expected[5], expected[3]]
    assert windows.take(np.array([], dtype=np.int64)).shape == (0, 3)
