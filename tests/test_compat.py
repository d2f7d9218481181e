"""Torchvision can be imported beside any build of torch, whoever imports it."""

import sys

import pytest

from tests.repository import ROOT, run

NETWORK = "import torch, torchvision; assert torchvision.models.squeezenet1_1()(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)"


@pytest.mark.parametrize("first", ["import src", "import src, lightning.pytorch"])
def test_torchvision_is_imported_after_src(tmp_path, first):
    run(tmp_path, sys.executable, "-c", f"{first}\n{NETWORK}", PYTHONPATH=str(ROOT))


def test_src_itself_imports_nothing_heavy(tmp_path):
    script = "import sys, src; assert not {'torch', 'torchvision', 'numpy'} & set(sys.modules)"
    run(tmp_path, sys.executable, "-c", script, PYTHONPATH=str(ROOT))


def test_operators_are_declared_where_they_are_missing_alone(tmp_path):
    script = "from src import compat; import torchvision; assert bool(compat._kept) != torchvision.extension._has_ops()"
    run(tmp_path, sys.executable, "-c", script, PYTHONPATH=str(ROOT))
