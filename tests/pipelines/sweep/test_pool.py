"""How slots are laid out on a machine's processors and GPUs."""

import pytest

from pipelines.sweep.pool import TrialPool, slot_environments
from src.errors import InputError


def devices(workers: int | None, gpus: list[str], *, devices: int = 1, per_gpu: int = 1) -> list[str]:
    environments = slot_environments(workers, gpus=gpus, devices=devices, per_gpu=per_gpu)
    assert all(environment.keys() == {"CUDA_VISIBLE_DEVICES"} for environment in environments)
    return [environment["CUDA_VISIBLE_DEVICES"] for environment in environments]


def test_without_gpus_there_are_as_many_slots_as_workers():
    assert slot_environments(None, gpus=[], devices=1, per_gpu=1) == [{}]
    assert slot_environments(3, gpus=[], devices=2, per_gpu=4) == [{}, {}, {}]


def test_gpus_are_shared_out():
    names = ["0", "3", "GPU-5a"]
    assert devices(None, names) == names
    assert devices(None, names, per_gpu=2) == [*names, *names]
    assert devices(None, names, devices=2) == ["0,3"]
    assert devices(2, names, per_gpu=2) == ["0", "3"]


@pytest.mark.parametrize(("workers", "size"), [(4, 1), (2, 2), (None, 4)])
def test_more_workers_than_gpus_hold_are_refused(workers, size):
    with pytest.raises(InputError, match=r"raise sweep\.trials_per_gpu"):
        devices(workers, ["0", "1", "2"], devices=size)


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert TrialPool([{}, {}]).threads == 3
    assert TrialPool([{}], processes=2).threads == 3
    assert TrialPool([{}] * 9).threads == 1
