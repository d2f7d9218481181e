"""Uploads of runs and studies to MLflow, in short steps between which whoever drives them can wait."""

from pathlib import Path

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
