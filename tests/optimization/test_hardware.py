"""Settings that depend on the machine: the table of precisions, and that a run keeps its own."""

import platform
import resource

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from src.config import assembly, command_line
from src.models.cnn import CNN
from src.models.fnn import FNN
from src.optimization import hardware
from src.runs import identity

CONVOLUTIONAL = CNN(input_shape=(1, 8, 8), width=2, num_outputs=3)
CONNECTED = FNN(input_shape=(1, 8, 8), hidden=[4], num_outputs=3)


def machine(monkeypatch, *, capability: tuple[int, int] | None = None, bf16: bool = False, amx: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


@pytest.mark.parametrize(
    ("units", "accelerator", "network", "precision"),
    [
        ({}, "cpu", CONVOLUTIONAL, "32-true"),
        ({"bf16": True}, "cpu", CONVOLUTIONAL, "bf16-mixed"),
        ({"amx": True}, "auto", CONVOLUTIONAL, "bf16-mixed"),
        ({"bf16": True, "amx": True}, "auto", CONNECTED, "32-true"),
        ({"bf16": True}, "mps", CONVOLUTIONAL, "32-true"),
        ({"capability": (9, 0)}, "auto", CONNECTED, "bf16-mixed"),
        ({"capability": (8, 0)}, "gpu", CONVOLUTIONAL, "bf16-mixed"),
        ({"capability": (7, 5), "bf16": True}, "cuda", CONVOLUTIONAL, "32-true"),
        ({"capability": (9, 0), "bf16": True}, "cpu", CONVOLUTIONAL, "bf16-mixed"),
        ({"capability": (9, 0)}, "cpu", CONVOLUTIONAL, "32-true"),
    ],
)
def test_the_table_of_precisions(monkeypatch, units, accelerator, network, precision):
    machine(monkeypatch, **units)
    assert hardware.precision(accelerator, network) == precision


def test_precision_auto_becomes_that_of_the_machine_in_configuration_and_identity(digits, monkeypatch):
    config = command_line.configure(["+experiment=cnn", "trainer.precision=auto", "trainer.accelerator=cpu"])
    prepared, names = digits[1], {}
    for bf16 in (False, True):
        machine(monkeypatch, bf16=bf16)
        completed = assembly.complete(config, prepared)
        names[completed.trainer.precision] = identity.run_id(OmegaConf.to_container(completed), "data")
    assert len(set(names.values())) == 2
    stated = command_line.configure(["+experiment=cnn", "trainer.precision=bf16-mixed", "trainer.accelerator=cpu"])
    again = assembly.complete(stated, prepared)
    assert identity.run_id(OmegaConf.to_container(again), "data") == names["bf16-mixed"]


def test_a_run_that_is_trained_further_keeps_its_precision(project, digits, monkeypatch):
    machine(monkeypatch, bf16=True)
    config = command_line.configure(["+experiment=cnn", "trainer.precision=auto", "trainer.accelerator=cpu"])
    (project / "run").mkdir()
    OmegaConf.save(assembly.complete(config, digits[1]), project / "run/config.yaml")
    machine(monkeypatch, bf16=False)  # another machine
    further = command_line.configure([f"resume={project / 'run'}", "trainer.max_epochs=20"])
    assert assembly.complete(further, digits[1]).trainer.precision == "bf16-mixed"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept():
    hardware.keep_freed_memory()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.ones(4 * 2**20)  # 16 MiB, 4,096 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    assert faults() < 4096


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1)])
def test_any_convolution_counts(monkeypatch, layer):
    machine(monkeypatch, bf16=True)
    assert hardware.precision("cpu", nn.Sequential(nn.Flatten(), layer)) == "bf16-mixed"
