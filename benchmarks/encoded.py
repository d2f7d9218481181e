"""Training on files that are decoded whenever they are read, beside torchvision's ImageFolder and a DataLoader.

Both sides take random crops of JPEG files with as many processes, and train the same network as many steps. The platform also
validates, logs, writes checkpoints and records.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.pairs import alternate
from benchmarks.problem import Platform
from src.experiment import Experiment

FILES, WIDTH, HEIGHT, SIZE, BATCH = 3_000, 500, 375, 224, 64
CROP, EPOCHS = (0.08, 1.0), 2


def epoch(*, pairs: int = 5) -> dict[str, Any]:
    """Images a second of the platform's training, over those of the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = _written(folder / "images")
        data = ("data=photographs", f"data.root={images}", "data.storage=encoded", f"data.random_crop=[{CROP[0]},{CROP[1]}]")
        platform = Platform("mlp", folder, data=data)  # a small network: decoding takes most of the time
        settings = ("model.hidden=[8]", f"data.batch_size={BATCH}", "data.dataset.split.val=64", "data.dataset.split.test=64")
        experiment = platform.build(*settings)
        count = len(experiment.prepared.index("train"))

        def by_platform() -> float:
            return platform.train(*settings, epochs=EPOCHS)[0] / count

        def by_bare() -> float:
            return _bare(experiment, images) / FILES / EPOCHS

        timing = alternate(by_platform, by_bare, pairs=pairs)
    low, high = timing["range"]
    return {
        **timing,
        "ratio": round(1 / timing["ratio"], 3),
        "range": [round(1 / high, 3), round(1 / low, 3)],
        "images_a_second": {
            "platform": round(1 / timing["platform_seconds"]),
            "bare": round(1 / timing["bare_seconds"]),
        },
    }


def _written(root: Path) -> Path:
    """Photographs of noise at several scales, which a JPEG file takes as long to decode as real ones."""
    rng = np.random.default_rng(0)
    for number in range(FILES):
        path = root / str(number % 10) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.zeros((HEIGHT, WIDTH, 3))
        for scale in (4, 16, 64):
            coarse = rng.integers(0, 256, (3 * scale // 4, scale, 3), dtype=np.uint8)
            picture += np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 3
        Image.fromarray(picture.astype(np.uint8)).save(path, quality=90)
    return root


def _bare(experiment: Experiment, images: Path) -> float:
    """Seconds of some epochs over all files, without validations."""
    from torchvision import datasets, transforms

    steps = [
        transforms.RandomResizedCrop(SIZE, scale=CROP),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.2] * 3),
    ]
    network = experiment.learner.network
    assert network is not None
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    workers = len(os.sched_getaffinity(0))
    start = time.perf_counter()
    data = datasets.ImageFolder(str(images), transforms.Compose(steps))
    for _ in range(EPOCHS):
        for batch, target in torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=workers):
            torch.nn.functional.cross_entropy(network(batch), target).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - start
