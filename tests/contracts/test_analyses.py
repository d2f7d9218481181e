"""What every option of conf/explanation and conf/robustness must do, and what may replace it."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from src.config import assembly, checks, composition, restoring
from src.errors import InputError
from src.evaluation import scoring
from src.experiment import Experiment
from src.runs import identity
from tests import texts

OPTIONS = [(group, name) for group in identity.ANALYSES for name in checks.options(group)]


@pytest.fixture
def built(digits, project):
    """Builds a small network for the digits, whose weights are fresh."""
    _, prepared = digits

    def build(*overrides: str) -> Experiment:
        config = composition.compose(["model=cnn", "model.width=4", *overrides])
        return assembly.build(assembly.complete(config, prepared), prepared)

    return build


@pytest.mark.slow
@pytest.mark.parametrize("group", identity.ANALYSES)
def test_nothing_is_looked_at_unless_an_experiment_asks_for_it(group, built):
    assert checks.options(group)
    assert composition.compose([])[group] is None
    assert built().analyses == {}


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_a_comment_says_what_it_does(group, name):
    text = (checks.CONF / group / f"{name}.yaml").read_text()
    assert text.startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_it_looks_at_a_network_and_leaves_numbers_and_figures(group, name, built, project):
    experiment = built(f"{group}={name}") if name != "tokens" else of_texts(project, f"{group}={name}")
    plain = scoring.evaluate(experiment, "test")
    result = scoring.analyse(experiment, plain, project / "run")
    if name == "none":
        assert result.metrics == plain.metrics
        assert not (project / "run").exists()
        return
    assert result.metrics.keys() > plain.metrics.keys()
    assert result.intervals == plain.intervals
    assert {key: result.metrics[key] for key in plain.metrics} == plain.metrics
    assert len(list((project / "run/figures").glob("*.png"))) >= (1 if name == "tokens" else 2)


def of_texts(folder: Path, *overrides: str) -> Experiment:
    """A small network for texts, whose weights are fresh."""
    table = texts.write(folder / "texts.csv")
    data = ("data=text", f"data.path={table}", "data.target=label", "data.columns.split=part")
    config = composition.compose(["+experiment=textcnn", *data, "model.size=8", "model.maps=4", *overrides])
    prepared = assembly.prepare(config)
    return assembly.build(assembly.complete(config, prepared), prepared)


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_its_code_has_a_fingerprint(group, name):
    content: Any = OmegaConf.to_container(composition.compose([f"{group}={name}"])[group] or OmegaConf.create())
    targets = identity.targets(content)
    assert all(target.startswith("src.evaluation.") for target in targets)
    assert (len(targets) > (name != "tokens")) == (name != "none")  # it has no methods beside itself


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["robustness=default", "robustness.noise.strengths=[0.3,0.1]"], r"robustness\.noise: .* rising order; received \[0.3"),
        (["explanation=default", "explanation.occlusion.window=2.0"], r"explanation\.occlusion: .* up to 1; received 2"),
        (["explanation=default", "explanation.mistakes=-1"], r"explanation\.mistakes: .* received -1"),
        (["robustness=default", "robustness._target_=builtins.dict"], r"robustness\._target_: .*Analysis; dict does not"),
        (["evaluation._target_=builtins.dict"], r"evaluation\._target_: .*Evaluation; dict does not"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(overrides, message, built):
    with pytest.raises(InputError, match=message):
        built(*overrides)


@pytest.mark.slow
def test_a_run_is_looked_at_otherwise_than_it_asked_for(built, project):
    experiment = built("explanation=transformer")
    experiment.learner.export(project / "run")
    OmegaConf.save(OmegaConf.create(dict(experiment.config)), project / "run/config.yaml")
    other: Any = OmegaConf.to_container(composition.compose(["explanation=default", "robustness=default"]))

    def looked_at(**overrides: Any) -> Experiment:
        return restoring.restore(project / "run", overrides=overrides)

    assert "attention" in looked_at().config["explanation"]
    assert looked_at(explanation=None).analyses == {}
    analysed = looked_at(explanation=other["explanation"], robustness=other["robustness"])
    assert analysed.config["explanation"] == other["explanation"], "nothing is left of the run's own"
    assert list(analysed.analyses) == ["explanation", "robustness"]
    analysed = looked_at(explanation={"mistakes": 2}, evaluation={"top_k": 2})
    assert analysed.config["explanation"] == {**experiment.config["explanation"], "mistakes": 2}
    assert analysed.evaluation.top_k == 2
