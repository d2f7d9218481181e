"""A tracking store that is ready without delay, and the uploader's loop in the test's own process."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src.tracking import store, uploader
from src.tracking.queue import Queue, try_lock
from src.tracking.uploader import Uploader
from tests.repository import run

MAKE = "from mlflow.tracking import MlflowClient; import sys; MlflowClient(sys.argv[1]).search_experiments()"


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> Path:
    """A tracking database as the installed MLflow creates it."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    run(path.parent, sys.executable, "-c", MAKE, f"sqlite:///{path}", **store.ENVIRONMENT)
    return path


@pytest.fixture
def database(fresh, project) -> Path:
    """A copy of it in the working folder, which a test may alter."""
    return Path(shutil.copy(fresh, project / "mlflow.db"))


@pytest.fixture
def serve(monkeypatch) -> Callable[[Queue], Uploader]:
    """Serves a queue until it is empty."""
    monkeypatch.setattr(uploader, "IDLE", 0.0)
    monkeypatch.setattr(uploader, "LOOK", 0.01)
    monkeypatch.setattr(uploader, "AGAIN", 0.05)
    monkeypatch.setattr(uploader, "PATIENCE", 0.3)

    def serve(queue: Queue) -> Uploader:
        with open(queue.lock, "a+") as lock:
            assert try_lock(lock)
            loop = Uploader(queue, lock)
            loop.serve()
        return loop

    return serve
