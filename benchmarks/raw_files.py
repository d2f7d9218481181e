"""Answers for raw files, beside torchvision's ImageFolder, a DataLoader with as many processes, and the bare network."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image

from benchmarks.pairs import alternate
from src.config import assembly, composition
from src.predictor import Predictor, Unreadable
from src.runs.files import write_json

FILES, SIDE = 6_000, 64
SETTINGS = ["+experiment=cnn", "data=image_folder", "data.size=32"]


def predict(*, pairs: int = 5) -> dict[str, Any]:
    """Images of 64x64 pixels, scaled to 32x32, and the CNN; files a second of the platform over those of the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = _written(folder / "images")
        run = _run(folder, images)
        predictor = Predictor.load(run)
        network = predictor._experiment.learner.network
        assert network is not None
        return alternate(lambda: _by_platform(predictor, images), lambda: _bare(network, images), pairs=pairs)


def _written(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(FILES):
        path = folder / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return folder


def _run(folder: Path, images: Path) -> Path:
    """A run with the weights that it would begin with."""
    config = composition.compose([*SETTINGS, f"data.root='{images}'", f"paths.prepared='{folder}/prepared'"])
    prepared = assembly.prepare(config)
    config = assembly.complete(config, prepared)
    run = folder / "run"
    run.mkdir()
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    write_json(run / "data_card.json", prepared.card)
    assembly.build(config, prepared).learner.export(run)
    return run


def _by_platform(predictor: Predictor, images: Path) -> float:
    from src.data import inputs

    start, unreadable = time.perf_counter(), list[Unreadable]()
    found = inputs.find(str(images), predictor.reader)
    answered = sum(map(len, predictor.stream(found.items, unreadable=unreadable, total=found.total)))
    assert (answered, unreadable) == (FILES, [])
    return time.perf_counter() - start


def _bare(network: torch.nn.Module, images: Path) -> float:
    from torchvision import datasets, transforms

    start = time.perf_counter()
    steps = [
        transforms.Resize(32),
        transforms.CenterCrop(32),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.2] * 3),
    ]
    data = datasets.ImageFolder(str(images), transforms.Compose(steps))
    workers = len(os.sched_getaffinity(0))
    answered = 0
    with torch.inference_mode():
        for batch, _ in torch.utils.data.DataLoader(data, batch_size=128, num_workers=workers):
            answered += len(network(batch).softmax(dim=1).numpy())
    assert answered == FILES
    return time.perf_counter() - start
