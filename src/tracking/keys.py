"""Names of parameters and metrics as MLflow takes them: it refuses some characters that keys and classes have."""

import hashlib
import posixpath
import re

FOREIGN = re.compile(r"[^\w\-. /]")  # a colon as well, which begins and ends what stands for another character
LONGEST = 250  # characters


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


def _number(match: re.Match[str]) -> str:
    return f":{ord(match[0]):x}:"
