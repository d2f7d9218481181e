"""A study on its way into a tracking store: one parent run, and a run inside it for each trial."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from src.errors import InputError
from src.runs.folder import Run
from src.runs.locks import mutex
from src.tracking import upload_state
from src.tracking.mlflow_store import Store
from src.tracking.run_upload import RunUpload

PARENT = "mlflow.parentRunId"  # the tag by which MLflow nests runs


class StudyUpload:
    """One study and its trials."""

    def __init__(self, store: Store, folder: Path):
        self.folder = folder
        self._store = store
        self._parent = RunUpload(store, folder)
        self._done: set[Path] = set()
        self._broken: dict[Path, str] = {}

    def live(self) -> Iterator[None]:
        """Uploads every trial that has ended; first of all, what the study is."""
        yield from self._parent.live()
        for trial in sorted(self.folder.glob("trial-*")):
            if trial in self._done:
                continue
            try:
                if upload_state.read_record(trial).get("status") in (None, "RUNNING"):
                    continue
                if not upload_state.uploaded(trial):
                    yield from self._trial(trial)
            except InputError as error:  # one broken record does not hold up the others
                self._broken[trial] = str(error)
            self._done.add(trial)

    def finish(self) -> Iterator[None]:
        """Uploads the rest, trials whose process was killed among them, and how the study ended.

        Raises:
            InputError: the record of a trial is damaged; all else is uploaded.
        """
        for trial in sorted(self.folder.glob("trial-*")):
            if trial not in self._done and not Run(trial).locked():
                with suppress(InputError):  # `live` says it
                    upload_state.close(trial)
        yield from self.live()
        yield from self._parent.finish()
        if self._broken:
            raise InputError("\n  ".join(self._broken.values()))

    def _trial(self, folder: Path) -> Iterator[None]:
        with mutex(folder / upload_state.LOCK):
            yield from RunUpload(self._store, folder, tags={PARENT: self._parent.state["run"]}).finish()
