"""Scores of two classes, and what speaks for either of them."""

import pandas as pd
import pytest
import torch
from sklearn import metrics as reference

from src.config import assembly, composition
from src.evaluation import scoring
from src.evaluation.attribution import Saliency
from src.evaluation.explanation import Explanation
from src.experiment import Experiment, Result
from src.protocols import NullSink


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> tuple[Experiment, Result]:
    """A small CNN that tells threes from eights, and its evaluated test split."""
    data_folder = f"paths.prepared={tmp_path_factory.mktemp('binary')}"
    config = composition.compose(
        ["+experiment=binary", data_folder, "trainer.max_epochs=2", "trainer.accelerator=cpu", "model.width=4"]
    )
    prepared = assembly.prepare(config)
    experiment = assembly.build(assembly.complete(config, prepared), prepared)
    folder = tmp_path_factory.mktemp("fit")
    experiment.learner.fit(experiment.data, folder=folder, sink=NullSink())
    return experiment, scoring.evaluate(experiment, "test")


@pytest.mark.slow
def test_scores_are_those_of_scikit_learn(evaluated):
    _, result = evaluated
    table, scores = result.table, result.metrics
    score, target = table["probability_8"], table["target"]
    assert scores["test/auroc"] == pytest.approx(reference.roc_auc_score(target, score))
    assert scores["test/average_precision"] == pytest.approx(reference.average_precision_score(target, score))
    assert scores["test/accuracy"] == pytest.approx((table["prediction"] == target).mean())
    for name in ("auroc", "average_precision", "accuracy"):
        low, high = result.intervals[f"test/{name}"]
        assert low <= scores[f"test/{name}"] <= high


def test_its_figures_show_the_second_class(evaluated):
    experiment, result = evaluated
    figures = experiment.evaluation.figures(experiment, result.table)
    assert {"confusion", "reliability", "mistakes", "thresholds"} == set(figures)
    assert [text.get_text() for text in figures["thresholds"].axes[1].get_legend().get_texts()] == ["8"]


def test_what_speaks_for_one_class_speaks_against_the_other(evaluated):
    experiment, _ = evaluated
    task, data = experiment.learner.task, experiment.data
    images = task.preprocess(torch.from_numpy(data.inputs(data.rows("test")[:3])))
    scores = task.scoring.eval()(images)
    assert torch.equal(scores[:, 0], -scores[:, 1])


def test_both_classes_are_explained(evaluated):
    experiment, result = evaluated
    table = result.table
    both = pd.concat([table[table["prediction"] == prediction][:2] for prediction in (0, 1)])
    findings = Explanation(mistakes=0, right=4, saliency=Saliency()).analyse(
        experiment, Result(result.split, both, result.metrics, result.intervals)
    )
    assert "saliency_randomised_correlation" in findings.metrics
