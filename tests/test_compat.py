"""Torchvision can be imported beside any build of torch, whoever imports it."""

import sys
from pathlib import Path

import pytest

from tests.repository import ROOT, run

NETWORK = "import torch, torchvision; print(*torchvision.models.squeezenet1_1()(torch.zeros(1, 3, 32, 32)).shape)"


def printed(folder: Path, script: str) -> str:
    """What a script prints in a process of its own."""
    return run(folder, sys.executable, "-c", script, PYTHONPATH=str(ROOT)).stdout.strip()


@pytest.mark.slow
def test_torchvision_is_imported_after_src(tmp_path):
    assert printed(tmp_path, f"import src, lightning.pytorch\n{NETWORK}") == "1 1000"


def test_src_itself_imports_nothing_heavy(tmp_path):
    assert printed(tmp_path, "import sys, src; print({'torch', 'torchvision', 'numpy'} & set(sys.modules))") == "set()"


@pytest.mark.slow
def test_operators_are_declared_where_they_are_missing_alone(tmp_path):
    script = "from src import compat; import torchvision; print(bool(compat._libraries), torchvision.extension._has_ops())"
    assert printed(tmp_path, script) in ("True False", "False True")
