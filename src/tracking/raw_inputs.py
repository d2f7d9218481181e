"""What a model in MLflow needs to answer for raw inputs: the code that reads them, and what the data set was like."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from src.data.base import Data
from src.runs import closure, modules
from src.runs.files import write_json

CODE, DATA = "reading.zip", "reading.json"


def add(package: Mapping[str, Any], folder: Path, data: Data, node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Writes it beside a packaged network, and returns what the record states of both.

    The model of an estimator is MLflow's own, which takes arrays alone. Some data have no raw inputs.

    Args:
        package: what the record states of the model.
        node: the `_target_` and the plain arguments of the data.
    """
    reader = data.reader()
    if reader is None or package["flavour"] != "pytorch":
        return package
    target, kind = str(node["_target_"]), type(reader)
    reading = f"{kind.__module__}.{kind.__qualname__}"
    names = {"src", *closure.closure([target, reading, "src.data.unseen.together", "src.compat"])}
    files = {modules.module(name).file: modules.module(name).path for name in names}
    packages = {str(parent / "__init__.py") for file in files for parent in Path(file).parents if parent != Path()}
    with ZipFile(folder / CODE, "w") as archive:  # equal code gives equal bytes: entries have no time
        for name in sorted({*files, *packages}):
            path = files.get(name)
            archive.writestr(ZipInfo(name), path.read_bytes() if path is not None else b"", ZIP_DEFLATED)
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    write_json(folder / DATA, {"target": target, "arguments": arguments, "card": data.prepared.card})
    requirements = {**package["requirements"], **{name: version(name) for name in reader.requires}}
    return {**package, "reading": [CODE, DATA], "requirements": requirements}
