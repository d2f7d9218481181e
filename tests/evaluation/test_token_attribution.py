"""Attributions of tokens: exact for a linear network, coloured in a figure, and skipped where there are none."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.config import assembly, composition
from src.evaluation import scoring
from src.evaluation.token_attribution import TokenAttribution
from src.experiment import Experiment
from tests import texts


class Linear(nn.Module):
    """The mean of a vector of scores for each token."""

    def __init__(self, vocabulary: int, classes: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, classes)

    def forward(self, input: dict[str, Tensor]) -> Tensor:
        return self.embedding(input["tokens"]).sum(dim=1) / input["length"][:, None]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A small network with random weights."""
    folder = tmp_path_factory.mktemp("texts")
    table = texts.write(folder / "texts.csv")
    data = ("data=text", f"data.path={table}", "data.target=label", "data.columns.split=part", f"paths.prepared={folder}")
    config = composition.compose(["+experiment=textcnn", *data, "model.size=8", "model.maps=4"])
    prepared = assembly.prepare(config)
    return assembly.build(assembly.complete(config, prepared), prepared)


def test_in_a_linear_network_a_token_adds_the_difference_of_its_scores(experiment):
    data = experiment.data
    rows = data.rows("test")[:4]
    fields = data.examples(rows)
    network = Linear(data.vocabulary, 3)
    answers = torch.tensor([0, 1, 2, 1])
    found = TokenAttribution()._attributions(network, data, fields, answers)
    scores = network.embedding.weight.detach().numpy()
    for position, (length, answer) in enumerate(zip(fields["length"], answers.tolist(), strict=True)):
        own = fields["tokens"][position, :length]
        expected = (scores[own, answer] - scores[data.padding, answer]) / length
        np.testing.assert_allclose(found[position, :length], expected, atol=1e-6)
        assert (found[position, length:] == 0).all()


def test_the_figure_has_each_token_beside_random_weights(experiment):
    result = scoring.evaluate(experiment, "test")
    findings = TokenAttribution(mistakes=2, right=1, steps=4).analyse(experiment, result)
    assert -1 <= findings.metrics["integrated_gradients_randomised_correlation"] <= 1
    (ax,) = findings.figures["explanation"].axes
    shown = [text.get_text() for text in ax.texts]
    chosen = experiment.evaluation.examples(result.table, mistakes=2, right=1)
    first = experiment.data.examples(chosen["index"].to_numpy())["tokens"][0]
    tokens = experiment.data.tokenizer.tokens([number for number in first.tolist() if number != experiment.data.padding])
    assert all(shown.count(token) >= 2 for token in tokens)
    assert shown.count("random weights") == 3


def test_images_have_no_tokens(digits, capsys):
    config, prepared = digits
    images = assembly.build(assembly.complete(config, prepared), prepared)
    findings = TokenAttribution().analyse(images, scoring.evaluate(images, "test"))
    assert not findings.figures
    assert "explanation: skipped, because the examples of Images are no texts" in capsys.readouterr().err
