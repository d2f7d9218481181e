"""What is learned of the training split before data are stored: that split alone, and the card keeps it for raw inputs."""

from dataclasses import replace

import numpy as np
import pytest

from src.data import store
from src.data.columns import Ragged
from src.errors import InputError
from tests.tagging import Draws, Sentences, Vocabulary

SPLIT = {"val": 0.3, "test": 0.3, "seed": 0}


class Numbered(Draws):
    """Each sequence has a word of its own."""

    def read(self):
        raw = super().read()
        words = raw.arrays["tokens"]
        own = np.repeat(1000 + np.arange(len(words)), words.lengths).astype(np.int32)
        return replace(raw, arrays={**raw.arrays, "tokens": Ragged(own, words.offsets)}, transform=Forgiving())


class Forgiving(Vocabulary):
    """Words outside of the training split are one token more."""

    def tokens(self, words):
        known = np.isin(words, self._words)
        return np.where(known, np.searchsorted(self._words, words), len(self._words)).astype(np.int32)


def test_it_learns_from_the_training_split_alone(tmp_path):
    prepared = store.prepare(tmp_path / "d", Numbered(count=20), name="numbered", split=SPLIT, max_duplicates=1.0)
    train = prepared.index("train")
    assert prepared.card["reading"] == {"words": (1000 + train).tolist()}
    assert prepared.facts["vocabulary"] == len(train) == 8
    tokens = prepared.column("tokens")
    for row in range(20):
        expected = np.searchsorted(train, row) if row in train else len(train)
        assert set(tokens[row].tolist()) == {expected}


def test_a_raw_input_is_transformed_as_the_training_split_was(tmp_path):
    prepared = store.prepare(tmp_path / "d", Draws(count=50), name="drawn", split=SPLIT, max_duplicates=1.0)
    reader = Sentences(prepared=prepared, vocabulary=12, batch_size=4).reader()
    words = Draws(count=50).read().arrays["tokens"]
    for row in range(5):
        text = " ".join(map(str, words[row].tolist()))
        assert np.array_equal(reader.read({"words": text})["tokens"], prepared.column("tokens")[row])


class Shortening(Vocabulary):
    def apply(self, raw):
        return replace(raw, arrays={**raw.arrays, "tokens": raw.arrays["tokens"].held(np.arange(3))})


def test_rows_must_stay_rows(tmp_path):
    source = Draws(count=20)
    source.read = lambda: replace(Draws(count=20).read(), transform=Shortening())
    with pytest.raises(InputError, match=r"drawn: expected the same number of rows in each array"):
        store.prepare(tmp_path / "d", source, name="drawn", split=SPLIT, max_duplicates=1.0)
    assert not [*tmp_path.iterdir()]
