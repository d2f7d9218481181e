"""How slots are laid out on a machine's processors and GPUs."""

import pytest

from pipelines.sweep.slots import Slots, places
from src.errors import InputError


def test_without_gpus_there_are_as_many_slots_as_workers():
    assert places(None, gpus=[], devices=1, per_gpu=1) == [{}]
    assert places(3, gpus=[], devices=2, per_gpu=4) == [{}, {}, {}]


def test_gpus_are_shared_out():
    names = ["0", "3", "GPU-5a"]
    assert places(None, gpus=names, devices=1, per_gpu=1) == [{"CUDA_VISIBLE_DEVICES": name} for name in names]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places(None, gpus=names, devices=1, per_gpu=2)] == [*names, *names]
    assert places(None, gpus=names, devices=2, per_gpu=1) == [{"CUDA_VISIBLE_DEVICES": "0,3"}]
    assert places(2, gpus=names, devices=1, per_gpu=2) == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "3"}]


@pytest.mark.parametrize(("workers", "devices"), [(4, 1), (2, 2), (None, 4)])
def test_more_workers_than_gpus_hold_are_refused(workers, devices):
    with pytest.raises(InputError, match=r"raise sweep\.slots_per_gpu"):
        places(workers, gpus=["0", "1", "2"], devices=devices, per_gpu=1)


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert Slots([{}, {}]).threads == 3
    assert Slots([{}], processes=2).threads == 3
    assert Slots([{}] * 9).threads == 1
