"""A run or study in the queue, as the uploader sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.tracking import upload_state
from src.tracking.queue import Queue
from src.tracking.system_metrics import SAMPLING, Sample

if TYPE_CHECKING:  # they import mlflow
    from src.tracking.run_upload import RunUpload
    from src.tracking.study_upload import StudyUpload


@dataclass
class Watched:
    """One run or study in the queue.

    Args:
        training: whether a living process works on it.
        samples: of this machine's load, that are not uploaded yet.
        due: when it may be tried again, by the monotonic clock.
        failing: since when the upload of its end has failed.
    """

    folder: Path
    entries: list[Path] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    training: bool = False
    samples: list[Sample] = field(default_factory=list)
    sampled: float = -SAMPLING
    due: float = 0.0
    failing: float | None = None
    refused: bool = False
    upload: RunUpload | StudyUpload | None = None  # while the record goes on
    steps: Iterator[None] | None = None

    def look(self) -> None:
        """Reads how it stands. The record of a process that died is closed."""
        before, self.training = self.training, False
        living = upload_state.living(self.folder)  # asked first: a process states its end before it lets go of its lock
        self.record = upload_state.read_record(self.folder)
        if self.record.get("status") == "RUNNING" and not living and upload_state.close(self.folder):
            self.record = upload_state.read_record(self.folder)
        self.training = living and self.record.get("status") == "RUNNING"
        if before and not self.training:
            self.due, self.refused = 0.0, False

    def settled(self, queue: Queue) -> bool:
        """Whether nothing is left to do: it is whole in its store, or belongs to another queue by now, or never began."""
        if self.record and Queue.of(self.folder, self.record["uri"]) != queue:  # of another store, living or not
            return True
        if self.training or upload_state.living(self.folder):
            return False
        return not self.record or upload_state.uploaded(self.folder)
