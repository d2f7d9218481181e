"""Names of parameters and metrics as MLflow takes them: it refuses some characters that keys and classes have."""

import hashlib
import posixpath
import re

FOREIGN = re.compile(r"[^\w\-. /]")  # a colon as well, which begins and ends what stands for another character
LONGEST = 250  # characters
SINGLE = ("best/", "test/", "timing/")  # what a run has one value of


def mlflow_key(name: str) -> str:
    """A name with `:3d:` for each `=`, and so on: the character's number in hexadecimal, between colons.

    Different names stay different, and each can be read back, unless it is longer than MLflow's keys may be: such a name ends
    with a hash.
    """
    key = FOREIGN.sub(_number, name)
    if posixpath.normpath(key) != key or key.startswith((".", "/")):  # MLflow makes a path of it
        key = re.sub(r"[./]", _number, key)
    if len(key) > LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        key = f"{key[: LONGEST - len(digest) - 1]}-{digest}"
    return key


def metric_key(name: str, step: int) -> tuple[str, int]:
    """The name and the step of a metric in MLflow, whose pages draw a section for each folder of names, by the alphabet.

    A single value becomes `values/...`, behind the curves (`train/`, `val/`), at step 0: only then it is drawn as a bar.
    """
    return (mlflow_key(f"values/{name}"), 0) if name.startswith(SINGLE) else (mlflow_key(name), step)


def _number(match: re.Match[str]) -> str:
    return f":{ord(match[0]):x}:"
