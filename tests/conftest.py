"""Fixtures that several suites share. A test that writes asks for `project`, a working folder of its own."""

import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # nets are tiny here: two threads would mostly wait for each other
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells have it for what they start in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.dont_write_bytecode:  # tests start many commands, which would each compile all that they import
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings
from omegaconf import DictConfig

from src.config import assembly, composition
from src.data import store
from src.data.images import Images
from src.data.store import Prepared
from src.tracking import queue
from tests import compositions, forkserver
from tests.pictures import Arrays, noise
from tests.repository import ROOT, UPLOADER

for name, value in UPLOADER.items():
    os.environ.setdefault(name, value)
CACHE = os.environ.get("DATA_CACHE")  # as it was before any test changed it
AMBIENT = ("MLFLOW_TRACKING_URI", "DATA_CACHE")

# The same examples every time, and however slow the machine is.
settings.register_profile("athanor", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("athanor")


# Tests of whole commands take longest. They begin first, so that at the end no process waits long for another.
LONGEST = (
    "test_slurm.py",
    "test_failures.py",
    "test_train.py",
    "test_reuse.py",
    "test_kills.py",
    "test_transfer.py",
    "test_seam.py",
    "test_sweep.py",
    "test_worker.py",
    "test_dvc.py",
    "test_chaos.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--budget", type=float, help="seconds that the tests may take; the slowest ones are printed beside it")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("budget") is not None:
        config.pluginmanager.register(Budget(config.getoption("budget")), "budget")


class Budget:
    """Prints the ten slowest tests, and the whole time beside what it may be. No test fails by it.

    Args:
        seconds: that the tests may take, from the start of pytest.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.durations: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.durations[report.nodeid] += report.duration  # set-up, call and tear-down; of all processes, in the one that prints

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        elapsed = time.time() - psutil.Process().create_time()
        terminalreporter.section("time")
        for name in sorted(self.durations, key=self.durations.__getitem__, reverse=True)[:10]:
            terminalreporter.line(f"{self.durations[name]:7.1f} s  {name}")
        text = f"{elapsed:7.1f} s  in all, of a budget of {self.seconds:.0f} s"
        over = elapsed - self.seconds
        terminalreporter.line(f"{text}: {over:.0f} s over it" if over > 0 else text, red=over > 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with nothing of the machine's own settings."""
    for name in AMBIENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Such a working folder for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        for name in AMBIENT:
            patch.delenv(name, raising=False)
        patch.chdir(folder := tmp_path_factory.mktemp("folder"))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def forked_uploaders() -> Iterator[None]:
    """The uploaders that a test's own process starts are forked, as those of commands are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "Popen", forkserver.Popen)
        yield


@pytest.fixture(scope="session", autouse=True)
def remembered_compositions() -> Iterator[None]:
    """What Hydra composes from this repository's own conf/ is composed once for each choice of groups and files."""
    with pytest.MonkeyPatch.context() as patch:
        compositions.remember(patch)
        yield


@pytest.fixture
def leaves_no_process() -> Iterator[None]:
    """Whatever the test starts ends with it, except the fork server of commands. What was there before may stay."""
    own = psutil.Process()
    before = set(own.children(recursive=True))
    yield
    assert {child for child in own.children(recursive=True) if child.pid not in forkserver.started()} <= before


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., Images]:
    """Makes a prepared data set of random pictures: 80 % training, 10 % validation, 10 % test."""

    def make(count: int = 150, *, batch_size: int = 16, num_classes: int = 3, shape: Sequence[int] = (1, 8, 8)) -> Images:
        source = Arrays(*noise(count, shape=shape, num_classes=num_classes), num_classes=num_classes)
        split = {"val": 0.1, "test": 0.1, "seed": 0}
        folder = tmp_path / f"images-{count}-{num_classes}-{'x'.join(map(str, shape))}"
        prepared = store.prepare(folder, source, name="noise", split=split, max_duplicates=0.0)
        return Images(prepared=prepared, shape=list(shape), num_classes=num_classes, batch_size=batch_size)

    return make


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of raw data sets on this machine."""
    folder = Path(CACHE) if CACHE else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no raw data here: the variable DATA_CACHE names its folder")
    return folder


@pytest.fixture
def data_cache(cache: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of raw data sets, named by DATA_CACHE, in a working folder of the test's own."""
    monkeypatch.setenv("DATA_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def fashion_mnist(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, Prepared]:
    """The configuration of the real Fashion-MNIST, and the data, prepared once."""
    return _prepared("fashion_mnist", cache / "fashion-mnist", tmp_path_factory.mktemp("fashion"))


@pytest.fixture(scope="session")
def isbi2012(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, Prepared]:
    """The configuration of the real slices with membranes, and the data, prepared once."""
    return _prepared("isbi2012", cache / "isbi2012-em", tmp_path_factory.mktemp("isbi"))


@pytest.fixture(scope="session")
def sentence_polarity(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, Prepared]:
    """The configuration of the real sentences of film reviews, and the data, prepared once."""
    return _prepared("sentence_polarity", cache / "mr", tmp_path_factory.mktemp("reviews"), "model=textcnn")


@pytest.fixture(scope="session")
def canvases(tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, Prepared]:
    """The configuration of canvases with digits, and the data, prepared once."""
    config = composition.compose(["data=canvases", f"paths.prepared={tmp_path_factory.mktemp('canvases')}"])
    return config, assembly.prepare(config)


@pytest.fixture(scope="session")
def rotated_digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, Prepared]:
    """The configuration of turned digits, and some of the data, prepared once."""
    folder = tmp_path_factory.mktemp("rotated")
    config = composition.compose(["data=rotated_digits", "data.count=500", "task=regression", f"paths.prepared={folder}"])
    return config, assembly.prepare(config)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, Prepared]:
    """The configuration of scikit-learn's digits, and the data, prepared once."""
    config = composition.compose(["data=digits", f"paths.prepared={tmp_path_factory.mktemp('digits')}"])
    return config, assembly.prepare(config)


def _prepared(data: str, raw: Path, folder: Path, *more: str) -> tuple[DictConfig, Prepared]:
    if not raw.is_dir():
        pytest.skip(f"{raw.parent} holds no {raw.name}")
    paths = (f"paths.prepared={folder}/prepared", f"paths.downloads={folder}/none")
    config = composition.compose([f"data={data}", *more, *paths])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATA_CACHE", str(raw.parent))
        return config, assembly.prepare(config)
