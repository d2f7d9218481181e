"""The loss of an optimizer step is the mean over all its units: tokens of sequences of different lengths."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from src.data import store
from src.training.learner import NetworkLearner
from tests.nets import PLAIN_SGD, end, fit, network, points, same, values
from tests.tagging import PADDING, TOKENS, Draws, Sentences, Tagger, Tagging
from tests.training.callbacks.test_checkpointing import Interrupting

EPOCHS, TOGETHER = 2, 3


@pytest.fixture
def sentences(tmp_path: Path) -> Sentences:
    split = {"val": 0.1, "test": 0.1, "seed": 0}
    prepared = store.prepare(tmp_path / "sentences", Draws(count=70), name="sentences", split=split, max_duplicates=1.0)
    return Sentences(prepared=prepared, vocabulary=TOKENS, batch_size=6)


def learner(data: Sentences, **settings: Any) -> NetworkLearner:
    model = partial(Tagger, vocabulary=TOKENS, width=8)
    common = {"model": model, "task": Tagging, "max_epochs": EPOCHS, "accumulate_grad_batches": TOGETHER, "steps_per_call": 2}
    return network(data, **{**common, **settings})


def plain(data: Sentences) -> tuple[dict[str, Tensor], list[float]]:
    """The weights and the losses of a plain loop, each step over the tokens of three batches at once."""
    model = learner(data).task.model
    optimizer, losses = PLAIN_SGD(model.parameters()), []
    for epoch in range(EPOCHS):
        batches = data.order("train", together=data.batch_size, epoch=epoch, seed=0)
        for first in range(0, len(batches), TOGETHER):
            rows = data.rows("train")[np.concatenate(batches[first : first + TOGETHER])]
            tokens = torch.from_numpy(data.examples(rows)["tokens"])
            targets = torch.from_numpy(data.targets(rows)).long()
            loss = cross_entropy(model({"tokens": tokens}).flatten(0, 1), targets.flatten(), ignore_index=PADDING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return model.state_dict(), losses


@pytest.mark.parametrize("micro_batch", [None, 2])
@pytest.mark.parametrize("in_memory", [4.0, 0.0], ids=["held", "read"])
def test_batches_of_unequal_units_add_up_to_the_mean_over_all(sentences, tmp_path, micro_batch, in_memory):
    one = learner(sentences, auto_micro_batch=micro_batch is not None, in_memory_gib=in_memory)
    one.task._micro_batch_size = micro_batch
    result = fit(one, sentences, tmp_path / "run")
    weights, losses = plain(sentences)
    for name, tensor in end(tmp_path / "run")["state_dict"].items():
        assert torch.allclose(tensor, weights[name.removeprefix("model.")], atol=1e-6), name
    assert values(tmp_path / "run", "train/loss") == pytest.approx(losses, rel=1e-5)
    assert result.examples == EPOCHS * len(sentences.rows("train"))
    val = sentences.rows("val")
    right = [
        (outputs["logits"].argmax(axis=2) == target).sum()
        for _, outputs, target in sentences.assemble(val, one.predict(sentences, val))
    ]
    best = max(values(tmp_path / "run", "val/accuracy"))
    assert best == pytest.approx(sum(right) / (sentences.targets(val) != PADDING).sum())


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_end"])
def test_an_interrupted_training_of_ragged_data_continues_exactly(sentences, tmp_path, hook):
    fit(learner(sentences), sentences, tmp_path / "whole")
    interrupting = partial(Interrupting, hook, 2 if hook == "on_validation_end" else 3)
    settings = {"save_every_n_minutes": 0.0}
    with pytest.raises(KeyboardInterrupt):
        fit(learner(sentences, callbacks=lambda: [interrupting()], **settings), sentences, tmp_path / "run")
    fit(learner(sentences, **settings), sentences, tmp_path / "run")
    assert same(end(tmp_path / "run"), end(tmp_path / "whole"))
    assert points(tmp_path / "run") == points(tmp_path / "whole")


def test_an_order_with_another_number_of_batches_is_refused(sentences, tmp_path, monkeypatch):
    order = Sentences.order
    monkeypatch.setattr(Sentences, "order", lambda *args, epoch, **rest: order(*args, epoch=epoch, **rest)[: 9 - epoch])
    with pytest.raises(Exception, match="expected 9 batches in each epoch; received 8 in epoch 2"):
        fit(learner(sentences), sentences, tmp_path / "run")
