"""An epoch over the rows of a split: every row once, in an order that can be continued."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.data.columns import Dense
from src.data.loader import Batches
from src.data.order import Order
from src.errors import InputError

ROWS = 53


def arrays() -> dict[str, np.ndarray]:
    """Each input tells its row."""
    return {"input": np.arange(100, dtype=np.float32)[:, None] * [[1, 10]], "target": np.arange(100) % 7}


def loading(arrays, rows, *, batch_size: int, ranks: int = 1, shuffle=False, seed=0, limit=None, **settings) -> Batches:
    order = Order(len(rows), together=batch_size * ranks, shuffle=shuffle, seed=seed, limit=limit)
    fields = {name: Dense(array) for name, array in arrays.items()}
    return Batches(fields, rows, order, ranks=ranks, **settings)


def batches(**settings) -> Batches:
    return loading(arrays(), np.arange(20, 20 + ROWS), **{"batch_size": 8, "shuffle": True, **settings})


def rows(blocks) -> list[int]:
    return [int(row) for block in blocks for batch in block for row in batch.row]


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    block=st.integers(1, 20),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
)
def test_every_row_comes_exactly_once_an_epoch(count, batch_size, block, shuffle, seed, epoch):
    split = np.arange(30, 30 + count)
    loader = loading(arrays(), split, batch_size=batch_size, block=block, shuffle=shuffle, seed=seed)
    loader.set_epoch(epoch)
    for _ in range(2):
        blocks = list(loader)
        assert sorted(rows(blocks)) == list(range(30, 30 + count))
        sizes = [len(batch.row) for block in blocks for batch in block]
        assert sizes == [batch_size] * (count // batch_size) + ([count % batch_size] if count % batch_size else [])
        assert [len(item) for item in blocks[:-1]] == [block] * (len(blocks) - 1)
        assert len(blocks) == len(loader)


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    block=st.integers(1, 5),
    ranks=st.integers(1, 5),
    shuffle=st.booleans(),
    epoch=st.integers(0, 1000),
)
def test_processes_share_the_batches_that_one_process_would_take(count, batch_size, block, ranks, shuffle, epoch):
    split = np.arange(30, 30 + count)
    settings = {"block": block, "shuffle": shuffle, "seed": 1}
    loaders = [loading(arrays(), split, batch_size=batch_size, rank=rank, ranks=ranks, **settings) for rank in range(ranks)]
    whole = loading(arrays(), split, batch_size=batch_size * ranks, **settings)
    for loader in (*loaders, whole):
        loader.set_epoch(epoch)
    for one, *shares in zip(whole, *loaders, strict=True):
        assert {len(share) for share in shares} == {len(one)}  # as many steps for each process
        for batch, *pieces in zip(one, *shares, strict=True):
            assert all(len(piece.row) for piece in pieces)
            assert [int(row) for piece in pieces if piece.real for row in piece.row] == batch.row.tolist()
            assert all(piece.real for piece in pieces) or batch.size < ranks
    sizes = [len(batch.row) for loader in loaders for item in loader for batch in item]
    assert whole.order.smallest(ranks) == min(sizes)


@given(count=st.integers(1, 80), batch_size=st.integers(1, 9), limit=st.integers(1, 12), ranks=st.integers(1, 3))
def test_the_smallest_batch_of_a_shortened_epoch(count, batch_size, limit, ranks):
    settings = {"batch_size": batch_size, "ranks": ranks, "limit": limit}
    loaders = [loading(arrays(), np.arange(count), rank=rank, **settings) for rank in range(ranks)]
    sizes = [len(batch.row) for loader in loaders for item in loader for batch in item]
    assert loaders[0].order.smallest(ranks) == min(sizes)


@pytest.mark.parametrize("position", [0, 7])
def test_an_epochs_end_is_one_for_another_number_of_processes(position):
    loader = batches(rank=1, ranks=2)
    loader.load_state_dict({"position": position, "epoch": 3, "length": 7})
    assert len(list(loader)) == len(loader) == 4


def test_an_epoch_cannot_go_on_with_another_number_of_processes():
    with pytest.raises(InputError, match=r"epoch of 4 blocks; this one was written after block 3 of 7\. Continue"):
        batches(ranks=2).load_state_dict({"position": 3, "epoch": 3, "length": 7})


def test_input_and_target_belong_to_the_row():
    for block in batches():
        for batch in block:
            assert torch.equal(batch.input[:, 0], batch.row.float())
            assert torch.equal(batch.input[:, 1], 10 * batch.row.float())
            assert torch.equal(batch.target, batch.row % 7)


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        loader = batches(seed=seed)
        loader.set_epoch(epoch)
        return tuple(rows(loader))

    assert order(0, 0) == order(0, 0)
    assert len({order(seed, epoch) for seed, epoch in itertools.product(range(3), range(4))}) == 12


def test_the_order_does_not_depend_on_the_size_of_blocks_nor_on_random_numbers_drawn_elsewhere():
    one = rows(batches(block=1))
    torch.rand(5)
    assert rows(batches(block=16)) == one


def test_without_shuffling_the_order_is_that_of_the_rows():
    loader = batches(shuffle=False)
    loader.set_epoch(3)
    assert rows(loader) == list(range(20, 20 + ROWS))


@pytest.mark.parametrize("block", [1, 2, 3, 16])
def test_an_interrupted_epoch_goes_on_exactly(block):
    whole = batches(block=block)
    whole.set_epoch(2)
    expected = list(whole)
    for done in range(len(expected) + 1):
        loader = batches(block=block)
        loader.set_epoch(2)
        running = iter(loader)
        first = [next(running) for _ in range(done)]
        state = json.loads(json.dumps(loader.state_dict()))
        again = batches(block=block)
        again.load_state_dict(state)
        assert len(again) == len(expected)  # of a whole epoch, wherever it stands
        if done == len(expected):
            again.set_epoch(3)
            assert rows(again) != rows(expected)  # a new epoch, from its start
            continue
        rest = list(again)
        assert rows([*first, *rest]) == rows(expected)
        assert list(map(len, rest)) == list(map(len, expected[done:]))


def test_after_an_epoch_comes_a_whole_one():
    loader = batches()
    first = rows(loader)
    loader.set_epoch(1)
    second = rows(loader)
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (3, 3), (7, 7), (50, 7), (None, 7)])
def test_a_limit_counts_batches(limit, expected):
    loader = batches(limit=limit, block=2)
    blocks = list(loader)
    assert loader.batches == sum(map(len, blocks)) == expected
    assert len(loader) == len(blocks) == -(-expected // 2)


def test_a_limit_takes_the_first_batches_of_the_order():
    assert rows(batches(limit=3)) == rows(batches())[:24]


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_mapped_from_disk_give_the_same_batches(tmp_path, shuffle):
    mapped = {}
    for name, array in arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    chosen = np.array([3, 99, 50, 4, 77, 5, 20, 21, 22, 60])
    held = loading(mapped, chosen, batch_size=4, shuffle=shuffle, seed=1)
    read = loading(mapped, chosen, batch_size=4, shuffle=shuffle, seed=1, in_memory=0)
    assert held.held
    assert not read.held
    for one, other in zip(held, read, strict=True):
        for left, right in zip(one, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(left[:3], right[:3], strict=True))
            assert left.input.dtype == right.input.dtype


def test_rows_mapped_from_disk_are_not_read_all_at_once(tmp_path):
    """A file that is one hole of 64 GiB."""
    path = tmp_path / "input.bin"
    shape = (2**20, 2**16)
    with open(path, "wb") as file:
        file.truncate(shape[0] * shape[1])
    array = np.memmap(path, dtype=np.uint8, mode="r+", shape=shape)
    array[-1] = 7
    loader = loading({"input": array, "target": np.zeros(shape[0])}, np.arange(shape[0] - 4, shape[0]), batch_size=4)
    ((batch,),) = list(loader)
    assert batch.input.float().mean(dim=1).tolist() == [0, 0, 0, 7]
    everything = loading({"input": array, "target": np.zeros(shape[0])}, np.arange(shape[0]), batch_size=4, shuffle=True)
    assert next(iter(everything))[0].input.shape == (4, 2**16)


def test_held_rows_can_be_changed_without_changing_the_store():
    store = arrays()
    loader = loading(store, np.arange(10), batch_size=10)
    ((batch,),) = list(loader)
    batch.input.zero_()
    assert store["input"][3, 0] == 3
