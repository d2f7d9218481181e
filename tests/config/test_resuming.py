"""A run is trained further by other values, where its checkpoint allows them."""

import pytest
from omegaconf import OmegaConf

from src.config import command_line, resuming
from src.config.composition import compose, resolve
from src.errors import InputError


def test_a_run_is_trained_further_with_other_values(tmp_path):
    resolved = resolve(compose(["+experiment=cnn"]))
    OmegaConf.save(resolved, tmp_path / "config.yaml")
    same = f"optimizer.lr={resolved.optimizer.lr}"
    config = resuming.resumed(tmp_path, [f"resume={tmp_path}", "trainer.max_epochs=20", "+trainer.min_epochs=3", same])
    assert (config.trainer.max_epochs, config.trainer.min_epochs, config.resume) == (20, 3, str(tmp_path))
    assert config.model == resolved.model


def test_a_schedule_is_made_longer_with_the_training(tmp_path):
    OmegaConf.save(resolve(compose(["scheduler=cosine", "trainer.max_epochs=5"])), tmp_path / "config.yaml")
    longer = resuming.resumed(tmp_path, [f"resume={tmp_path}", "trainer.max_epochs=20", "scheduler.T_max=20"])
    assert longer.scheduler.T_max == 20


@pytest.mark.slow
def test_a_run_is_trained_further_without_a_callback(tmp_path):
    OmegaConf.save(resolve(compose(["callbacks=early_stopping"])), tmp_path / "config.yaml")
    (name,) = OmegaConf.load(tmp_path / "config.yaml").callbacks
    config = resuming.resumed(tmp_path, [f"resume={tmp_path}", f"~callbacks.{name}"])
    assert OmegaConf.to_container(config.callbacks) == {}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epoch=20", "trainer.max_epoch: there is no such option in .*nearest: trainer.max_epochs"),
        ("~trainer.max_epoch", "trainer.max_epoch: there is no such option in .*nearest: trainer.max_epochs"),
        ("model=lenet", "expected values only; received model=lenet"),
        ("+experiment=cnn", r"expected values only; received \+experiment=cnn"),
        ("trainer.max_epochs=many", "trainer.max_epochs: expected a number"),
        ("optimizer.lr=0.5", r"expected optimizer\.lr as it was.*received optimizer\.lr=0\.5.*pretrained\.weights="),
        ("+optimizer.amsgrad=true", r"expected optimizer\.amsgrad as it was"),
        ("~optimizer.fused", r"expected optimizer\.fused as it was"),
        ("~callbacks.early_stopping.patience", r"expected callbacks\.early_stopping\.patience as it was"),
        ("callbacks.early_stopping.patience=20", r"expected callbacks\.early_stopping\.patience as it was"),
    ],
)
def test_a_run_is_trained_further_by_values_only(tmp_path, override, message):
    OmegaConf.save(resolve(compose(["callbacks=early_stopping"])), tmp_path / "config.yaml")
    with pytest.raises(InputError, match=message):
        resuming.resumed(tmp_path, [f"resume={tmp_path}", override])


def test_a_folder_that_is_no_run_cannot_be_trained_further(tmp_path):
    with pytest.raises(InputError, match=r"expected the folder of a run; there is no config\.yaml"):
        command_line.configure([f"resume={tmp_path}"])
