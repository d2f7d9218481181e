"""A real training step of the large networks on a folder of images, at their native size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.config import assembly, composition
from src.data.loader import Batches
from src.data.order import Order
from tests.nets import fit, values

pytestmark = pytest.mark.timeout(900)

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


@pytest.mark.long
@pytest.mark.parametrize("model", SIZES)
def test_a_step_at_native_resolution(pictures, model):
    size = SIZES[model]
    config = composition.compose(
        [
            f"+experiment={model}",
            f"data.root={pictures}",
            "augmentation=none",
            "data.batch_size=2",
            "optimizer=adam",  # moves every weight
            "optimizer.lr=1e-4",
            "scheduler=constant",
            "trainer.accelerator=cpu",
        ]
    )
    prepared = assembly.prepare(config)
    experiment = assembly.build(assembly.complete(config, prepared), prepared)
    task, data = experiment.learner.task, experiment.data
    batch = next(iter(Batches(data.fields, data.rows("train")[:2], Order(2, together=2))))[0]
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


@pytest.fixture
def many(project: Path) -> Path:
    """Patches of colour, whose classes only the picture shows."""
    rng = np.random.default_rng(0)
    for number in range(90):
        folder = project / "many" / "abcd"[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        patches = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        patches.resize((320, 320), Image.Resampling.NEAREST).save(folder / f"{number}.png")
    return project / "many"


def learned_by_heart(model: str, pictures: Path, folder: Path, accelerator: str) -> float:
    """The accuracy on 64 pictures after a training on only these."""
    settings = [
        "trainer.overfit_batches=2",
        "augmentation=none",
        "data.batch_size=32",
        "optimizer=adam",
        "optimizer.lr=1e-4",
        "scheduler=constant",
        "trainer.max_epochs=40",
        "trainer.progress_bar=false",
    ]
    config = composition.compose(
        [f"+experiment={model}", f"data.root={pictures}", f"trainer.accelerator={accelerator}", *settings]
    )
    prepared = assembly.prepare(config)
    experiment = assembly.build(assembly.complete(config, prepared), prepared)
    fit(experiment.learner, experiment.data, folder)
    return max(values(folder, "val/accuracy"))


@pytest.mark.long
@pytest.mark.parametrize("model", ["alexnet", "resnet18"])
def test_it_learns_64_pictures_by_heart(many, tmp_path, model):
    assert learned_by_heart(model, many, tmp_path / "run", "cpu") == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("model", SIZES)
def test_it_learns_64_pictures_by_heart_on_a_gpu(many, tmp_path, model):
    assert learned_by_heart(model, many, tmp_path / "run", "gpu") == 1
