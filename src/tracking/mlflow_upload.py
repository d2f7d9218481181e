"""Uploads of run folders and studies to MLflow, in short steps between which whoever drives them can wait."""

from pathlib import Path

from src.runs.files import read_json
from src.runs.locks import mutex
from src.tracking import upload_state
from src.tracking.mlflow_store import Store
from src.tracking.run_upload import RunUpload
from src.tracking.study_upload import StudyUpload
from src.tracking.system_metrics import Sample


def of(store: Store, folder: Path, samples: list[Sample] | None = None) -> RunUpload | StudyUpload:
    """The upload of a run or a study into a store.

    Args:
        samples: of the load of the machine that trains the run; what is uploaded is removed from the list.
    """
    return StudyUpload(store, folder) if upload_state.is_study(folder) else RunUpload(store, folder, samples=samples)


def upload(folder: Path) -> bool:
    """Uploads a run or study that no living process holds; whether there was one.

    A run that is recorded as running, while nothing runs it, was killed, and is closed as that.
    """
    if not (folder / "record.json").is_file() or upload_state.living(folder):
        return False
    upload_state.close(folder)
    record = read_json(folder / "record.json")
    if record["status"] == "RUNNING":  # its own command goes on with it just now
        return False
    with mutex(folder / upload_state.LOCK):
        for _ in of(Store(record["uri"]), folder).finish():
            pass
    return True
