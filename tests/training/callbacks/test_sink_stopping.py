"""A sink that asks a training to stop."""

from src.runs import checkpoints
from tests import nets
from tests.nets import network, same
from tests.sinks import ListSink


def test_a_training_ends_after_the_validation_at_which_its_sink_asks(images, tmp_path):
    data, sink = images(), ListSink(stop_after=2)
    fit = network(data, max_epochs=4).fit(data, folder=tmp_path, sink=sink)
    assert (fit.epochs, fit.steps) == (2, 16)
    assert fit.best_epoch in (1, 2)
    assert checkpoints.read(tmp_path / "best.ckpt")["epoch"] == fit.best_epoch - 1
    assert "val/loss" in sink.metrics[-1], "nothing is logged after the request"


def test_a_stopped_training_can_continue_and_ends_like_an_unbroken_one(images, tmp_path):
    data = images()
    for name in ("stopped", "unbroken"):
        (tmp_path / name).mkdir()
    network(data).fit(data, folder=tmp_path / "stopped", sink=ListSink(stop_after=1))
    for name in ("stopped", "unbroken"):
        nets.fit(network(data), data, tmp_path / name)
    assert same(nets.end(tmp_path / "stopped"), nets.end(tmp_path / "unbroken"))


def test_a_training_without_validations_is_asked_after_each_call_of_its_loop(images, tmp_path):
    class FiveLosses(ListSink):
        @property
        def should_stop(self) -> bool:
            return len(self.metrics) == 5

    data, sink = images(), FiveLosses()
    fit = network(data, steps_per_call=1, limit_val_batches=0).fit(data, folder=tmp_path, sink=sink)
    assert (fit.steps, fit.best_epoch) == (5, 0)
    assert not (tmp_path / "best.ckpt").exists()
