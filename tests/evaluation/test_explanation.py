"""Explanations of a run: metrics, figures, and messages where there is nothing to explain."""

import pytest
import torch
from torch import nn

from src.evaluation import scoring
from src.evaluation.attribution import Attribution, GradCam, Saliency
from src.evaluation.explanation import ALIKE, Explanation
from src.evaluation.layers import Attention
from src.evaluation.plotting import write

ATTRIBUTIONS = ["saliency", "integrated_gradients", "grad_cam", "occlusion"]
VIEWS = ["filters", "activations"]


@pytest.fixture(scope="module")
def findings(trained):
    experiment, result = trained
    return experiment.analyses["explanation"].analyse(experiment, result)


def labels(figure) -> list[str]:
    (ax,) = figure.axes
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_every_method_is_compared_with_random_weights(findings):
    assert set(findings.metrics) == {f"{name}_randomised_correlation" for name in (*ATTRIBUTIONS, *VIEWS)}
    assert all(-1 <= value < ALIKE for value in findings.metrics.values()), findings.metrics
    shown = labels(findings.figures["explanation"])
    for name in ATTRIBUTIONS:
        assert f"{name.replace('_', ' ')}\n{findings.metrics[f'{name}_randomised_correlation']:.2f}" in shown
    for name in VIEWS:
        assert f"{findings.metrics[f'{name}_randomised_correlation']:.2f}" in findings.figures[name].axes[0].get_title()


def test_the_worst_mistakes_come_first_each_above_its_maps(findings, trained):
    experiment, result = trained
    (ax,) = findings.figures["explanation"].axes
    assert len(ax.images) == 9 * 5, "eight examples and one under random weights, each with four maps"
    table = result.table
    wrong = table[table["target"] != table["prediction"]]
    confidence = wrong[[name for name in table if name.startswith("probability_")]].max(axis=1).sort_values(ascending=False)
    for column, row in enumerate(confidence.index[:5]):
        assert (ax.images[column].get_array() == experiment.data.show(table.loc[row, "index"]).pixels).all()
        predicted, true = table.loc[row, ["prediction", "target"]].astype(int)
        assert f"{predicted}, {confidence[row]:.0%}\nis {true}" == labels(findings.figures["explanation"])[column]
        assert predicted != true


@pytest.mark.slow
def test_it_is_the_same_every_time(findings, trained, tmp_path):
    experiment, result = trained
    again = experiment.analyses["explanation"].analyse(experiment, result)
    assert again.metrics == findings.metrics
    for name, figure in again.figures.items():
        one, other = (write(drawn, tmp_path / f"{name}.png").read_bytes() for drawn in (figure, findings.figures[name]))
        assert one == other


@pytest.mark.slow
def test_a_network_of_half_the_bits_is_explained_too(build):
    """numpy has no bfloat16."""
    experiment = build("+experiment=cnn", "model.width=8", "trainer.max_epochs=1", "trainer.precision=bf16-true")
    result = scoring.evaluate(experiment, "val")
    assert next(experiment.learner.task.scoring.parameters()).dtype == torch.bfloat16
    findings = experiment.analyses["explanation"].analyse(experiment, result)
    assert set(findings.figures) == {"explanation", *VIEWS}
    assert set(findings.metrics) == {f"{name}_randomised_correlation" for name in (*ATTRIBUTIONS, *VIEWS)}


class Copy(Attribution):
    """An explanation that does not use the network: the image itself."""

    def attribute(self, network, images, answers):
        return images


class Constant(Attribution):
    """An explanation without any differences."""

    def attribute(self, network, images, answers):
        return 0 * images


def test_an_explanation_that_does_not_depend_on_the_network_is_marked(trained):
    experiment, result = trained
    findings = Explanation(copy=Copy(), constant=Constant(), saliency=Saliency()).analyse(experiment, result)
    assert findings.metrics["copy_randomised_correlation"] == pytest.approx(1)
    assert "constant_randomised_correlation" not in findings.metrics
    copy, constant, saliency = (
        text for text in labels(findings.figures["explanation"]) if text.startswith(("copy", "const", "sal"))
    )
    assert copy == "copy\n1.00: as without learning"
    assert "the map is constant" in constant
    assert "without" not in saliency


def test_right_answers_take_the_place_of_missing_mistakes(trained):
    experiment, result = trained
    evaluation, table = experiment.evaluation, result.table
    right = table[table["target"] == table["prediction"]]
    chosen = evaluation.examples(right, mistakes=5, right=3)
    assert len(chosen) == chosen["index"].nunique() == 8
    assert evaluation.examples(right[:2], mistakes=5, right=3)["index"].tolist() == right["index"][:2].tolist()
    wrong = table[table["target"] != table["prediction"]]
    assert evaluation.examples(wrong[:1], mistakes=5, right=3)["index"].tolist() == wrong["index"][:1].tolist()


@pytest.mark.slow
def test_methods_that_a_network_does_not_support_are_skipped_with_a_message(build, capfd):
    experiment = build("+experiment=fnn", "explanation=transformer", fit=False)
    result = scoring.evaluate(experiment, "test")
    capfd.readouterr()
    findings = experiment.analyses["explanation"].analyse(experiment, result)
    messages = capfd.readouterr().err
    for name in ("grad_cam", "activations", "attention", "attention_relevance"):
        assert f"explanation.{name}: skipped, because it has no " in messages
        assert f"{name}_randomised_correlation" not in findings.metrics
    assert {"saliency_randomised_correlation", "filters_randomised_correlation"} <= set(findings.metrics)
    assert set(findings.figures) == {"explanation", "filters"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "reason"),
    [
        ("+experiment=k_nearest_neighbours", "the learner has no network"),
        ("+experiment=dcgan", "DCGAN is several networks"),
    ],
)
def test_what_takes_no_image_is_not_explained(build, capfd, tmp_path, experiment, reason):
    experiment = build(experiment, "explanation=default", fit="neighbours" in experiment)
    result = scoring.evaluate(experiment, "test")
    capfd.readouterr()
    assert scoring.analyse(experiment, result, tmp_path).metrics == result.metrics
    assert f"\nexplanation: skipped, because {reason}" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_network_without_answers_shows_its_inside(build, capfd):
    experiment = build("+experiment=autoencoder", "model.channels=[4,8]", "explanation=default", fit=False)
    result = scoring.evaluate(experiment, "test")
    capfd.readouterr()
    findings = experiment.analyses["explanation"].analyse(experiment, result)
    assert set(findings.figures) == {"filters", "activations"}
    assert set(findings.metrics) == {"filters_randomised_correlation", "activations_randomised_correlation"}
    assert capfd.readouterr().err.startswith("explanation of answers: skipped, because Autoencoder does not give a vector")


def test_a_network_that_gives_no_vector_is_not_explained(trained, capfd):
    experiment, result = trained
    task = experiment.learner.task
    network, task.model = task.model, nn.Conv2d(1, 2, 3)
    try:
        assert Explanation(saliency=Saliency()).analyse(experiment, result).figures == {}
    finally:
        task.model = network
    assert "Conv2d does not give a vector of scores" in capfd.readouterr().err


def test_settings_that_explain_nothing_are_refused():
    with pytest.raises(ValueError, match="at least one example; received mistakes=0 and right=0"):
        Explanation(mistakes=0, right=0, grad_cam=GradCam())
    with pytest.raises(ValueError, match="expected lens to have the _target_ of an attribution or a view; received 3"):
        Explanation(attention=Attention(), lens=3)


def test_weights_that_are_moved_to_be_asked_can_have_gradients(build, monkeypatch):
    """A network goes to an accelerator for its predictions; here to other numbers, which replaces its weights alike."""
    experiment = build("+experiment=cnn", "model.width=4", fit=False)
    task = experiment.learner.task
    monkeypatch.setattr(task, "to", lambda device: task.double())
    with torch.inference_mode():
        experiment.learner._move_to_device()
    assert all(weight.dtype == torch.float64 for weight in task.parameters())
    assert not any(weight.is_inference() for weight in [*task.parameters(), *task.buffers()])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_on_a_gpu_is_explained(build, tmp_path):
    experiment = build("+experiment=cnn", "trainer.accelerator=gpu", "trainer.max_epochs=1", "robustness=default")
    result = scoring.analyse(experiment, scoring.evaluate(experiment, "test"), tmp_path)
    assert {"test/saliency_randomised_correlation", "test/accuracy_corrupted"} <= set(result.metrics)
