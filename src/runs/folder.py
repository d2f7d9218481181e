"""Run folders: their names, their files, and the lock that keeps a second command out."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from src.errors import InputError
from src.runs import locks, names
from src.runs.files import REMEDY, read_json, write_json

DIGITS = 8  # of the digest of a run's identity, in the name of its folder
UPLOADED = ".uploaded.json"  # what the tracking store has confirmed, with its own id of the run
# Keys of an exported config.yaml, and of a run's own. A file that was cut off lacks the last.
EXPORTED_KEYS = ("data", "model", "objective", "evaluation", "trainer", "name", "seed")
CONFIG_KEYS = (*EXPORTED_KEYS, "paths")
SUFFIXES = (".json", ".jsonl", ".yaml", ".ckpt", ".parquet")  # of its files
EVALUATION_SETTINGS = "evaluation_settings.json"
ANALYSES = "analyses.json"


@dataclass(frozen=True)
class Run:
    """The folder of one run and the names of the files in it."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def identity(self) -> Path:
        """The digests of configuration, data and code, as `changes` writes them; a run of an earlier time has none."""
        return self.folder / "identity.json"

    @property
    def data(self) -> Path:
        """The card of the data that it learns, from which predictions for raw inputs are made."""
        return self.folder / "data_card.json"

    @property
    def best(self) -> Path:
        return self.folder / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def intervals(self) -> Path:
        return self.folder / "intervals.json"

    @property
    def evaluation_settings(self) -> Path:
        """The settings with which the test split was evaluated."""
        return self.folder / EVALUATION_SETTINGS

    @property
    def analyses(self) -> Path:
        """The names of the metrics of the test split that come from an analysis, by its name."""
        return self.folder / ANALYSES

    @property
    def timings(self) -> Path:
        return self.folder / "timings.json"

    @property
    def journal(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def record(self) -> Path:
        return self.folder / "record.json"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions.parquet"

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def fitted(self) -> bool:
        """Whether the fit is complete: metrics.json is written after it."""
        return self.metrics.is_file()

    @property
    def evaluated(self) -> bool:
        """Whether the numbers of the test split are there."""
        return self.fitted and any(name.startswith("test/") for name in read_json(self.metrics))

    def forget_test(self) -> None:
        """Removes the numbers of the test split, so that the run counts as not evaluated."""
        write_json(
            self.metrics, {name: value for name, value in read_json(self.metrics).items() if not name.startswith("test/")}
        )

    @property
    def recorded(self) -> bool:
        """Whether its record is complete. A run that was killed after its last number has still to record its end."""
        return read_json(self.record).get("status") in (None, "FINISHED")

    @property
    def packaged(self) -> bool:
        """Whether the record holds the whole fit: it names the model once an attempt has closed its journal after the fit."""
        return read_json(self.record).get("model") is not None

    @contextmanager
    def lock(self, *, timeout: float = locks.TIMEOUT) -> Iterator[None]:
        """Holds the folder for this process.

        Args:
            timeout: seconds to wait for another process that holds the lock.

        Raises:
            InUse: another living process holds it.
            InputError: somebody deleted the folder meanwhile. Whatever came of that is its cause.
        """
        with locks.exclusive(self.folder / ".lock", timeout=timeout) as stands:
            try:
                self.check_files()
                yield
            except Exception as error:
                if not stands():
                    raise self._deleted() from error
                raise
            else:
                if not stands():
                    raise self._deleted()
            finally:
                if stands() and [path.name for path in self.folder.iterdir()] == [".lock"]:  # nothing was written
                    shutil.rmtree(self.folder)

    def _deleted(self) -> InputError:
        return InputError(
            f"{self.folder}: expected the run folder to stay; somebody deleted it meanwhile, and what was in it is lost. "
            "The same command begins anew."
        )

    def check_files(self) -> None:
        """Refuses a folder in which a link would lead what is written to another place, or a folder stands for a file.

        Raises:
            InputError: there is one.
        """
        paths = sorted(self.folder.iterdir())
        links = [path.name for path in paths if path.is_symlink()]
        if links:
            raise InputError(
                f"{self.folder}: expected files and folders of its own; {', '.join(links)} would lead to another place. Remove "
                "the links."
            )
        for path in paths:
            if path.suffix in SUFFIXES and path.is_dir():
                raise InputError(f"{path}: expected a file; received a folder. {REMEDY}")

    def locked(self) -> bool:
        """Whether a living process holds the folder."""
        return locks.is_locked(self.folder / ".lock")


def choose(root: Path, name: str, digest: str, *, force: bool) -> Run:
    """The folder of a run; with force, the one with the next free suffix.

    A forced run that was interrupted is the next one: it is continued, not left behind.

    Args:
        digest: of the run's identity.

    Raises:
        InputError: the folder is of another identity, whose digest begins alike.
    """
    base = f"{names.check('name', name)}-{digest[:DIGITS]}"
    run = Run(root / base)
    suffix = 2
    while force and run.evaluated and run.recorded:
        run = Run(root / f"{base}.{suffix}")
        suffix += 1
    stated = read_json(run.identity).get("digest", digest)  # runs of an earlier time state none
    if stated != digest:
        raise InputError(
            f"{run.folder}: expected the run with the identity {digest}; received one with {stated}, which begins alike. Name "
            f"this run otherwise: name={name}_2."
        )
    return run
