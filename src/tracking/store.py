"""Where the record goes: the address of the tracking store, and whether it can be used. Imports nothing heavy."""

import importlib.util
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlparse

from src.errors import InputError
from src.runs.masking import mask

ENVIRONMENT = {  # set before mlflow is imported
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the uploader tries again by itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}
LOGIN = ("PERMISSION_DENIED", "UNAUTHENTICATED")  # MLflow's codes of errors
REFUSED = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST", *LOGIN)


def root() -> Path:
    """The folder of mlflow.db: the working folder, also for an experiment that DVC runs in a copy of it."""
    here = Path.cwd()
    for parent in here.parents:
        if parent.name == "exps" and parent.parent.name == "tmp" and parent.parent.parent.name == ".dvc":
            return parent.parent.parent.parent
    return here


def address(uri: str | None) -> str:
    """The store's URI: as configured, as the environment says, or mlflow.db at the root."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def artifacts(uri: str) -> str | None:
    """Where artifacts lie: beside a local database; a server decides by itself."""
    path = database(uri)
    return (path.parent / "mlartifacts").resolve().as_uri() if path else None


def database(uri: str) -> Path | None:
    """The file of a local database, None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def location(uri: str) -> str:
    """What tells two stores apart: the URI without a password, or the absolute path of a local database."""
    path = database(uri)
    return str(path.resolve()) if path else mask(uri)


def same(one: str, other: str) -> bool:
    """Whether two URIs are those of one store."""
    return location(one) == location(other)


def with_password(uri: str) -> str:
    """The URI of a record, whose password is masked, as it is configured where it is that of the configured store."""
    own = address(None)
    return own if same(uri, own) else uri


def lock(path: Path) -> Path:
    """The lock file that an uploader holds while it opens a local database, whose tables it may have to create."""
    return path.with_name(f"{path.name}.lock")


def may_pass(error: Exception) -> bool:
    """Whether a failed upload is worth another try: the store is away, rather than the record refused or broken."""
    code = getattr(error, "error_code", None)  # of an MlflowException
    return code not in REFUSED if code else isinstance(error, OSError)


def is_login(error: Exception) -> bool:
    """Whether the store refuses whoever uploads, rather than the record."""
    return getattr(error, "error_code", None) in LOGIN


def check(uri: str) -> str | None:
    """Looks at the store without importing mlflow.

    Returns:
        Why the store cannot be reached now, or None. The record is then kept in the run folder alone.

    Raises:
        InputError: a database whose schema this MLflow cannot use.
    """
    path = database(uri)
    if path:
        _check_schema(path, uri)
        return None
    parts = urlparse(uri)
    if not parts.hostname:
        raise InputError(
            f"tracking.uri={uri}: expected sqlite:///file.db, postgresql://..., http://... or https://...; a folder cannot "
            "hold runs any more. Leave it out to use mlflow.db at the root."
        )
    ports = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}
    try:
        port = parts.port or ports.get(parts.scheme.partition("+")[0], 80)
    except ValueError as error:
        raise InputError(f"tracking.uri={uri}: expected a port from 0 to 65535, or none. {error}.") from error
    try:
        socket.create_connection((parts.hostname, port), timeout=2).close()
    except OSError as error:
        return f"{uri} does not answer ({error})"
    return None


def check_experiment(uri: str, name: str) -> None:
    """Looks in a local database whether an experiment can take runs; a server's answer comes with the upload.

    Raises:
        InputError: the experiment was deleted.
    """
    path = database(uri)
    if path is None or not path.is_file() or not path.stat().st_size:
        return
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as tables,
    ):
        query = "select experiment_id from experiments where name = ? and lifecycle_stage = 'deleted'"
        for (number,) in tables.execute(query, [name]).fetchall():
            raise InputError(deleted(name, number))


def deleted(name: str, number: str | int) -> str:
    """The message for an experiment of the store that was deleted, and so takes no runs.

    Args:
        number: its id.
    """
    return (
        f"tracking.experiment={name}: expected an experiment that takes runs; it was deleted in the store. Restore it "
        f"(mlflow experiments restore --experiment-id {number}), or name another one: tracking.experiment=..."
    )


def _check_schema(path: Path, uri: str) -> None:
    if not path.is_file() or not path.stat().st_size:
        return
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
            rows = connection.execute("select version_num from alembic_version").fetchall()
    except sqlite3.OperationalError:
        return  # no table yet: somebody else's MLflow is creating it just now
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"{path}: expected an SQLite database; {error}. Move it away, or name another by tracking.uri."
        ) from error
    known, head = _revisions()
    received = rows[0][0] if rows else "none"
    if received == head:
        return
    if received in known:
        raise InputError(
            f"{path}: expected the tracking schema {head} of the installed MLflow; received the older {received}. "
            f"Back the file up, then: mlflow db upgrade {uri}"
        )
    raise InputError(
        f"{path}: expected the tracking schema {head} of the installed MLflow; received {received}, which it does not "
        "know: a newer MLflow made it. Install that version, or name another store by tracking.uri."
    )


def _revisions() -> tuple[set[str], str]:
    """Every schema revision that the installed MLflow knows, and the newest of them."""
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    own, followed = set(), set()
    for path in (Path(spec.origin).parent / "store" / "db_migrations" / "versions").glob("*.py"):
        text = path.read_text()
        own |= set(re.findall(r'^revision(?:: str)? = ["\'](\w+)["\']', text, re.MULTILINE))
        followed |= set(re.findall(r'^down_revision(?:[^=\n]*)? = ["\'](\w+)["\']', text, re.MULTILINE))
    (head,) = own - followed
    return own, head


@contextmanager
def fetched(name: str, uri: str, *, key: str) -> Iterator[Path]:
    """A file or folder of what MLflow calls `models:/NAME/VERSION` or `runs:/ID/PATH`, for as long as the block lasts.

    Args:
        key: of the command line, for messages.

    Raises:
        InputError: the store does not answer, or has no such thing.
    """
    for variable, value in {**ENVIRONMENT, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}.items():
        os.environ.setdefault(variable, value)
    if unreachable := check(uri):
        raise InputError(f"{key}={name}: expected a tracking store that answers; {unreachable}. Start it, or name a file.")
    from src.tracking import models  # it imports mlflow

    with models.fetched(name, uri) as path:
        yield path
