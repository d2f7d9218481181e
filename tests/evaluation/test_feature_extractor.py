"""Generated images compared with real ones by the features of a classifier, with real runs of small networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from src import evaluate
from src.config import assembly, composition, restoring
from src.errors import InputError
from src.evaluation import generation, scoring
from src.protocols import NullSink
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run


def trained_run(name: str, *overrides: str) -> Run:
    """A run of an experiment whose test split is evaluated."""
    config = composition.compose([f"+experiment={name}", "paths.prepared=prepared", *overrides])
    prepared = assembly.prepare(config)
    config = assembly.complete(config, prepared)
    run = Run(Path("runs") / f"{name}-{len(list(Path('runs').glob('*')))}")
    run.folder.mkdir(parents=True)
    experiment = assembly.build(config, prepared)
    experiment.learner.fit(experiment.data, folder=run.folder, sink=NullSink())
    write_atomic(run.config, OmegaConf.to_yaml(config).encode())
    write_json(run.metrics, scoring.evaluate(experiment, "test").metrics)
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Any:
    """A classifier and a variational autoencoder of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        quick = ["trainer.progress_bar=false", "trainer.accelerator=cpu"]
        yield {
            "fnn": trained_run("fnn", "trainer.max_epochs=5", *quick),
            "vae": trained_run("vae", "trainer.max_epochs=3", "evaluation.samples=300", *quick),
        }


def scores(run: Run, classifier: Path, monkeypatch, samples: np.ndarray | None = None) -> Mapping[str, float]:
    experiment = restoring.restore(run.folder, overrides={"evaluation": {"classifier": str(classifier)}})
    if samples is not None:
        monkeypatch.setattr(generation, "sample", lambda experiment, count: samples[:count])
    return scoring.evaluate(experiment, "test").metrics


@pytest.mark.slow
def test_real_examples_are_near_and_noise_is_far(trained, monkeypatch):
    classifier = trained["fnn"].folder.absolute()
    data = restoring.restore(classifier).data
    training = data.inputs(data.rows("train"))[:300] / np.float32(255)
    real = scores(trained["vae"], classifier, monkeypatch, training)
    noise = scores(trained["vae"], classifier, monkeypatch, np.random.default_rng(0).random((300, 1, 8, 8), dtype=np.float32))
    assert real["test/frechet"] < 0.2 * noise["test/frechet"]
    assert real["test/precision"] > 0.7 > 0.3 > noise["test/precision"]
    assert real["test/recall"] > 0.7
    assert real["test/smallest_class_share"] > 0.05
    assert real["test/frechet"] < real["test/frechet_of_normal_pixels"]
    assert real["test/frechet_of_training_examples"] < 0.2 * noise["test/frechet"]
    shares = {name: value for name, value in real.items() if name.startswith("test/class_share/")}
    assert [*shares] == [f"test/class_share/{name}" for name in data.classes]
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) == real["test/smallest_class_share"]
    assert real["test/classifier_accuracy"] == read_json(trained["fnn"].metrics)["test/accuracy"]


@pytest.mark.slow
def test_a_finished_run_is_compared_later(trained, monkeypatch, capsys):
    own = read_json(trained["vae"].metrics)
    assert "test/frechet" not in own
    classifier = trained["fnn"].folder
    assert evaluate.main([f"run={trained['vae'].folder}", f"evaluation.classifier={classifier}"]) == 0
    assert "test/frechet" in capsys.readouterr().out
    after = read_json(trained["vae"].metrics)
    assert after["test/negative_elbo"] == own["test/negative_elbo"]
    assert after["test/frechet"] > 0


@pytest.mark.parametrize("name", ["vae", "nothing"])
def test_a_run_of_no_classifier_is_refused(trained, name, monkeypatch):
    folder = trained[name].folder if name in trained else Path("runs/nothing")
    with pytest.raises(InputError, match=r"evaluation\.classifier=runs/\S+: expected .*classifier"):
        scores(trained["vae"], folder, monkeypatch)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.dataset.split.seed=1", r"expected a classifier of digits-\w+; this one learned digits-\w+"),
        ("seed=0", r"expected a network, which has features; received Classifier"),
    ],
)
def test_a_classifier_of_other_data_or_without_features_is_refused(trained, monkeypatch, override, message):
    other = trained_run("most_frequent", override)
    with pytest.raises(InputError, match=message):
        scores(trained["vae"], other.folder, monkeypatch)
