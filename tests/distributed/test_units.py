"""Two processes train on ragged data as one does: the loss is a mean over the tokens of both."""

import pytest
from omegaconf import OmegaConf

from src.config import assembly, composition
from tests.nets import end, fit, points
from tests.tagging import write_configuration

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("leaves_no_process")]
SETTINGS = (
    *("+experiment=tags", "trainer.max_epochs=2", "trainer.accelerator=cpu", "optimizer=sgd"),
    "trainer.log_every_n_steps=1",
)
ACCUMULATED = ("trainer.accumulate_grad_batches=3",)


@pytest.mark.parametrize(
    ("trainer", "settings"),
    [("ddp", ()), ("ddp", ACCUMULATED), ("fsdp", ACCUMULATED)],
    ids=["plain", "accumulated", "accumulated and shared out"],
)
@pytest.mark.filterwarnings("ignore:.*returned a view tensor")  # the logits, which nothing here changes in place
def test_two_processes_train_as_one_with_the_doubled_batch(project, trainer, settings):
    """121 sequences in batches of 8: the second process has none of the last one's, but a filler."""
    write_configuration(project / "own")
    prepared = None
    for name, own in {"one": ("data.batch_size=8",), "two": ("data.batch_size=4", f"trainer={trainer}")}.items():
        overrides = [*SETTINGS, "data.dataset.source.count=201", *own, *settings]
        config = composition.compose(dict.fromkeys(overrides), extra=[project / "own"])
        prepared = prepared or assembly.prepare(config)
        config = assembly.complete(config, prepared)
        (project / name).mkdir()
        (project / name / "config.yaml").write_text(OmegaConf.to_yaml(config))
        experiment = assembly.build(config, prepared)
        assert len(experiment.data.rows("train")) % 8 == 1
        fit(experiment.learner, experiment.data, project / name)
    for key, tensor in end(project / "one")["state_dict"].items():
        assert end(project / "two")["state_dict"][key].numpy() == pytest.approx(tensor.numpy(), rel=1e-4, abs=1e-6), key
    expected, actual = points(project / "one"), points(project / "two")
    assert actual.keys() == expected.keys()
    for key, (epoch, value) in expected.items():
        assert actual[key] == (epoch, pytest.approx(value, rel=1e-4)), key
