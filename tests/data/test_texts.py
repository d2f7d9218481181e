"""Texts as a learner uses them: batches of similar lengths, features, and raw inputs."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from src.data.reading import read
from src.data.texts import Texts, boundaries
from tests import texts


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    folder = tmp_path_factory.mktemp("texts")
    return texts.data(texts.prepare(folder / "prepared", texts.write(folder / "texts.csv")))


def lengths(data: Texts) -> np.ndarray:
    fields = data.examples(data.rows("train"))
    assert not isinstance(fields, np.ndarray)
    return fields["length"]


def test_batches_have_similar_lengths_each_text_once(data):
    own = lengths(data)
    batches = data.order("train", together=8, epoch=3, seed=1)
    assert np.sort(np.concatenate(batches)).tolist() == [*range(len(own))]
    assert [len(batch) for batch in batches].count(8) == len(own) // 8
    spreads = sorted((int(own[batch].min()), int(own[batch].max())) for batch in batches)
    assert all(high <= low for (_, high), (low, _) in pairwise(spreads))


def test_the_order_is_a_pure_function_and_new_in_each_epoch(data):
    first, again, later, other = (
        np.concatenate(data.order("train", together=8, epoch=epoch, seed=seed)).tolist()
        for epoch, seed in ((1, 0), (1, 0), (2, 0), (1, 1))
    )
    assert first == again
    assert first != later != other != first


def test_the_first_batch_of_all_has_the_longest_texts(data):
    own = lengths(data)
    first, *rest = data.order("train", together=8, epoch=0, seed=0)
    assert own[first].max() == own.max()
    assert own[first].min() >= max(own[batch].max() for batch in rest)


def test_a_budget_of_tokens_counts_the_padding(data):
    own = lengths(data)
    few = texts.data(data.prepared, batch_tokens=40)
    for together, budget in ((8, 40), (16, 80)):  # of two processes together twice as much
        batches = few.order("train", together=together, epoch=1, seed=0)
        assert np.sort(np.concatenate(batches)).tolist() == [*range(len(own))]
        assert all(len(batch) * own[batch].max() <= budget and len(batch) <= together for batch in batches)
        assert len(batches) == len(few.order("train", together=together, epoch=2, seed=5))
    assert boundaries(np.array([1, 1, 3, 5, 9]), together=4, budget=9) == [3, 4]
    with pytest.raises(
        ValueError, match=r"data.batch_tokens: expected at least 13, the tokens of the longest text; received 5"
    ):
        texts.data(data.prepared, batch_tokens=5)


def test_little_of_the_batches_is_padding(data):
    own = lengths(data)

    def padding(batches) -> float:
        return 1 - own.sum() / sum(len(batch) * own[batch].max() for batch in batches)

    unsorted = np.split(np.arange(len(own)), range(8, len(own), 8))
    assert padding(data.order("train", together=8, epoch=0, seed=0)) < padding(unsorted) / 3


def test_an_estimator_gets_the_texts(data):
    rows = data.rows("test")[:3]
    assert data.features(rows).tolist() == [data.text(row) for row in rows]
    assert data.feature_statistics() is None
    assert data.show(int(rows[0])).text == data.text(rows[0])


def test_a_reader_gives_the_stored_fields(data):
    row = int(data.rows("test")[0])
    reader = pickle.loads(pickle.dumps(data.reader()))  # as for another process
    for raw in (data.text(row), f"  {data.text(row)}\n", {"text": data.text(row), "other": "x"}):
        fields = reader.read(raw)
        assert fields["tokens"].tolist() == data.prepared.column("tokens")[row].tolist()
        assert fields["text"].tobytes().decode() == data.text(row)
    broken = read(reader, [("a", " "), ("b", {"words": "x"}), ("c", 5)])
    assert [reason for _, reason in broken] == [
        "expected a text; received an empty one",
        "expected a column text; received words",
        "expected a text; received int",
    ]
