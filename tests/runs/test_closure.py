"""Which modules of this repository a class is computed by."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.runs import closure, modules
from tests.repository import ROOT
from tests.runs import forget

CHECKS = {"src.value_types"}  # of settings, which every model imports


@pytest.fixture(autouse=True)
def _forget():
    """What closure has read of the files is read again."""
    yield
    forget()


def test_a_closure_holds_no_other_model():
    autoencoder = closure.closure(["src.models.autoencoder.Autoencoder"])
    assert autoencoder - CHECKS == {"src.models.autoencoder", "src.layers.encoder_decoder", "src.protocols"}
    assert closure.closure(["src.models.cnn.CNN"]) - CHECKS == {"src.models.cnn"}
    task = closure.closure(["src.tasks.classification.Classification"])
    assert not {name for name in task if name.startswith("src.models")}
    assert {"src.tasks.base", "src.protocols", "src.errors"} <= task


def test_a_library_has_no_module_here():
    assert closure.closure(["torch.optim.Adam", "sklearn.svm.SVC"]) == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from src.models.cnn import CNN\n", {"src.models.cnn"}),
        ("from src.models import cnn\n", {"src.models.cnn"}),
        ("from src import metrics\n", {"src.metrics"}),
        ("import src.models.autoencoder as one\n", {"src.models.autoencoder", "src.layers.encoder_decoder", "src.protocols"}),
        ("def late():\n    import src.models.lenet\n", {"src.models.lenet"}),
        ("from mine.blocks import Block\n", {"mine.blocks", "src.models.fnn"}),
        ("from .blocks import Block\n", {"mine.blocks", "src.models.fnn"}),
        ("from . import blocks\n", {"mine.blocks", "src.models.fnn"}),
        ("from mine import circle\n", {"mine.circle"}),
        ("import torch\nfrom torch import nn\n", set()),
    ],
)
def test_the_closure_of_a_module_outside_src(tmp_path, monkeypatch, text, expected):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(modules, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    files = {
        "mine/__init__.py": "",
        "mine/net.py": text,
        "mine/blocks.py": "from src.models.fnn import FNN\n",
        "mine/circle.py": "from mine import net\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    packages = {"mine", "src", "src.models"}  # a package that is named counts, even if it computes nothing
    assert closure.closure(["mine.net.Net"]) - packages - CHECKS == {"mine.net"} | expected


def test_a_new_import_is_found_by_a_new_process(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    cnn = tmp_path / "src/models/cnn.py"
    before = ask(tmp_path)
    assert before == ["src.models.cnn", *CHECKS]
    cnn.write_text(cnn.read_text() + "\n\nfrom src import metrics\n")
    assert ask(tmp_path) == ["src.metrics", "src.models.cnn", *CHECKS]


def ask(folder: Path) -> list[str]:
    script = "from src.runs import closure, modules; print(modules.ROOT, *sorted(closure.closure(['src.models.cnn.CNN'])))"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    root, *names = done.stdout.split()
    assert Path(root) == folder
    return names
