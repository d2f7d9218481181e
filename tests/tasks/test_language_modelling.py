"""The loss of a language model is that of a plain loop over the whole text, in training, validation and evaluation."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch.nn.functional import cross_entropy

from src.config import assembly, composition
from src.errors import InputError
from src.evaluation.plotting import write
from src.evaluation.predictions import predictions
from src.experiment import Experiment
from tests import streams
from tests.nets import fit, values


def experiment(*overrides: str) -> Experiment:
    config = composition.compose([*streams.TINY, "data.path=text.txt", "trainer.progress_bar=false", *overrides])
    prepared = assembly.prepare(config)
    return assembly.build(assembly.complete(config, prepared), prepared)


@pytest.fixture
def trained(project) -> Experiment:
    streams.write(project / "text.txt")
    own = experiment(
        "model=gpt", "model.width=16", "model.depth=1", "trainer.max_epochs=2", "trainer.accelerator=cpu", "optimizer.lr=1e-2"
    )
    fit(own.learner, own.data, project / "run")
    return own


def test_the_loss_is_that_of_each_token_of_the_whole_text(trained, project, tmp_path):
    data: Any = trained.data
    model: Any = trained.learner.network
    text = data.text(data.rows("val")[0], 10**6)
    numbers = torch.tensor(data.tokenizer.spans([text])[0].tolist())
    losses = []
    with torch.no_grad():
        for start in range(0, len(numbers) - 1, 8):
            following = numbers[start + 1 : start + 9]
            losses += cross_entropy(
                model(numbers[None, start : start + len(following)])[0], following, reduction="none"
            ).tolist()
    assert len(losses) == len(text) - 1
    assert len(losses) % 8, "the last window is not full"
    loss = math.fsum(losses) / len(losses)
    size = len(text[1:].encode())
    expected = {
        "loss": loss,
        "perplexity": math.exp(loss),
        "bits_per_byte": math.fsum(losses) / math.log(2) / size,
    }
    table = predictions(trained, "val", None)
    scores = trained.evaluation.scores(table)
    assert scores.values == pytest.approx(expected, rel=1e-5)
    assert all(low < expected[name] < high for name, (low, high) in scores.intervals.items())
    assert np.concatenate(table["losses"].tolist()).tolist() == pytest.approx(losses, rel=1e-3, abs=1e-5)
    best = int(np.argmin(values(project / "run", "val/loss")))
    for name, value in expected.items():
        assert values(project / "run", f"val/{name}")[best] == pytest.approx(value, rel=1e-5)
    assert values(project / "run", "val/loss")[0] > loss
    figures = trained.evaluation.figures(trained, table)
    assert {*figures} == {"loss_by_position", "sample"}
    for name, figure in figures.items():
        assert write(figure, tmp_path / f"{name}.png").stat().st_size > 3000
    shown = figures["sample"].texts[1].get_text()
    assert [*zip(shown.replace("\n", ""), text[:8].replace("\n", ""), strict=False)] != []
    assert all(
        one in (other, "\u25a1") for one, other in zip(shown.replace("\n", ""), text[:8].replace("\n", ""), strict=False)
    )


def test_an_exported_example_is_tokens_alone_and_gives_logits(trained):
    rows = trained.data.rows("val")[:2]
    example = trained.data.exported_example(rows)
    assert [*example] == ["tokens"]
    learner: Any = trained.learner
    outputs = learner.task.predict({"tokens": torch.from_numpy(example["tokens"])})
    assert outputs["logits"].shape == (2, 8, trained.config["data"]["vocabulary"])


def test_a_model_that_does_not_go_on_is_refused(project):
    streams.write(project / "text.txt")
    config = composition.compose([*streams.TINY, "data.path=text.txt", "model=gpt"])
    prepared = assembly.prepare(config)
    content = assembly.complete(config, prepared)
    content.model = OmegaConf.create({"_target_": "torch.nn.Embedding", "num_embeddings": 40, "embedding_dim": 40})
    own = assembly.build(content, prepared)
    with pytest.raises(InputError, match="LanguageModelling expected a model with extend, context; Embedding has no extend"):
        own.learner.check(own.data)


def test_scores_of_windows_add_up(project):
    streams.write(project / "text.txt")
    own = experiment("model=lstm_lm", "model.width=8")
    table = pd.DataFrame({"tokens": [4, 2], "bytes": [5, 2], "nats": [4.0, 5.0]})
    assert own.evaluation.scores(table).values == pytest.approx(
        {"loss": 1.5, "perplexity": math.exp(1.5), "bits_per_byte": 9 / math.log(2) / 7}
    )
