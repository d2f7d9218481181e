"""The weights of an exported program are read as torch reads them, and nothing else of the file is."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from src.errors import InputError
from src.pretrained import exported_program, weights
from src.runs import checkpoints
from tests.payloads import Payload


class Net(nn.Module):
    """Weights of several types and layouts, two of them in one storage."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2, dtype=torch.float64)
        self.alias = self.head
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("scale", torch.tensor(0.5, dtype=torch.bfloat16))
        self.register_buffer("nothing", torch.empty(0, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.head(self.layers(x).mean((2, 3)).double()) + self.alias.weight.mean()) * self.scale * self.mask


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.randn(2, 3, 8, 8),)), path)
    return path


def edited(program: Path, path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy in which files of the archive are others."""
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return path


def pickled(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Payload(marker), buffer)
    return buffer.getvalue()


def with_pickled_weight(content: bytes) -> bytes:
    table = json.loads(content)
    table["config"]["head.bias"]["use_pickle"] = True
    return json.dumps(table).encode()


def test_the_weights_are_those_that_torch_reads(program):
    expected, own = torch.export.load(program).state_dict, exported_program.read(program)
    assert own.keys() == expected.keys()
    for name, tensor in expected.items():
        assert own[name].dtype == tensor.dtype, name
        assert torch.equal(own[name], tensor.detach()), name


def test_a_payload_beside_the_weights_is_not_read(program, tmp_path):
    """torch.export.load runs it: it unpickles the example of the inputs."""
    marker = tmp_path / "marker"
    evil = edited(program, tmp_path / "evil.pt2", lambda name, content: pickled(marker) if "sample_inputs" in name else content)
    assert weights.digest(weights.read(str(evil), runs=tmp_path)) == weights.digest(exported_program.read(program))
    assert not marker.exists()
    torch.load(io.BytesIO(pickled(marker)), weights_only=False)  # it is real
    assert marker.exists()


def test_a_payload_as_a_weight_is_refused(program, tmp_path):
    marker = tmp_path / "marker"
    with zipfile.ZipFile(program) as archive:
        (table,) = [name for name in archive.namelist() if name.endswith(exported_program.TABLE)]
        file = json.loads(archive.read(table))["config"]["head.bias"]["path_name"]

    def change(name: str, content: bytes) -> bytes:
        if name == table:
            return with_pickled_weight(content)
        return pickled(marker) if name.endswith(f"/{file}") else content

    evil = edited(program, tmp_path / "evil.pt2", change)
    with pytest.raises(InputError, match=r"evil\.pt2: expected a complete file of tensors"):
        weights.read(str(evil), runs=tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["text", "no table", "a table without sizes", "a tensor beyond its file"])
def test_another_file_is_refused(program, tmp_path, damage):
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(exported_program.TABLE):
            return content
        table = json.loads(content)
        meta = table["config"]["head.bias"]["tensor_meta"]
        if damage == "a table without sizes":
            del meta["sizes"]
        else:
            meta["sizes"] = [{"as_int": 10**6}]
        return json.dumps(table).encode()

    path = tmp_path / "other.pt2"
    if damage == "text":
        path.write_text("not a program")
    elif damage == "no table":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("serialized_state_dict.pt", pickled(tmp_path / "marker"))
    else:
        edited(program, path, change)
    with pytest.raises(InputError, match=r"other\.pt2: expected a complete file of tensors"):
        weights.read(str(path), runs=tmp_path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["evil.ckpt", "evil.pt", "evil.safetensors", "best.ckpt", "last.ckpt"])
def test_no_file_of_weights_runs_a_payload(tmp_path, name):
    """Those that are written here have a mark, which anybody can write."""
    marker = tmp_path / "marker"
    if name in ("best.ckpt", "last.ckpt"):
        checkpoints.write(tmp_path / name, {"state_dict": Payload(marker)})
    else:
        (tmp_path / name).write_bytes(pickled(marker))
    with pytest.raises(InputError, match=name):
        weights.read(str(tmp_path / name), runs=tmp_path)
    if name == "last.ckpt":
        shutil.copy(tmp_path / name, tmp_path / "last.ckpt.prev")
        with pytest.raises(InputError, match="expected tensors and plain containers"):
            checkpoints.read(tmp_path / name)
    assert not marker.exists()
