"""A real training step of the large networks on a folder of images, at the size that they were made for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import assembly, configuration
from src.data.loader import Batches

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SIZES = {
    "alexnet": 224,
    "vgg11": 224,
    "vgg16": 224,
    "googlenet": 224,
    "inception_v3": 299,
    "resnet18": 224,
    "resnet50": 224,
}


@pytest.fixture
def pictures(project: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        folder = project / "pictures" / label
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = rng.normal(level, 30, (320, 340, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return project / "pictures"


@pytest.mark.parametrize("model", SIZES)
def test_a_step_at_native_resolution(pictures, model):
    size = SIZES[model]
    config = configuration.compose(
        [
            f"model={model}",
            "data=image_folder",
            f"data.root={pictures}",
            f"data.size={size}",
            "data.batch_size=2",
            "optimizer.lr=1e-4",
            "trainer.accelerator=cpu",
        ]
    )
    prepared = assembly.prepare(config)
    experiment = assembly.build(assembly.complete(config, prepared), prepared)
    task, data = experiment.learner.task, experiment.data
    batch = next(iter(Batches(data.arrays, data.rows("train")[:2], batch_size=2)))[0]
    assert batch.input.shape == (2, 3, size, size)
    task.train()
    optimizer = task.configure_optimizers()
    before = {name: parameter.detach().clone() for name, parameter in task.named_parameters()}
    loss = task.step(task.augmented(batch)).loss
    assert loss.isfinite()
    loss.backward()
    for name, parameter in task.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    optimizer.step()
    for name, parameter in task.named_parameters():
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, before[name]), name
