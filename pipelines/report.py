"""The report stage: reports/index.html, leaderboard.md and a page for each experiment, from results/.

It knows no task, model or data set by name. Experiments are compared where they share data and the classes that are kept of
it, the evaluation with its settings, and the objective.
"""

import json
import statistics
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
from omegaconf import OmegaConf
from PIL import Image

from pipelines.results import Entry, Point, read
from pipelines.wording import brief, number, words
from src.config import command_line
from src.runs.files import write_atomic
from src.runs.identity import flat

REPORTS = Path("reports")
ROOM = 4_000_000  # characters of thumbnails in the index, which stays under 5 MB
TITLE = ("evaluation._target_", "objective.metric")
COSTS = {"parameters": "parameters", "FLOPs": "flops", "training, s": "fit_seconds", "one example, ms": "latency_one_ms"}


@dataclass(frozen=True)
class Column:
    """One quantity of several experiments. `mode` says which end is the better one: min, max, or None for neither."""

    label: str
    mode: str | None
    show: Callable[[float], str]
    points: Sequence[Point]

    @property
    def best(self) -> float | None:
        if self.mode is None:
            return None
        return (min if self.mode == "min" else max)(self.known, default=None)

    @property
    def known(self) -> list[float]:
        return [point.value for point in self.points if point.value is not None]

    @property
    def scale(self) -> tuple[float, float] | None:
        """The range of the intervals, less those so far off (Tukey's outer fences) that the others would shrink to dots."""
        known = [(point.value, *point.ends) for point in self.points if point.value is not None and point.ends]
        if len(known) < 2:
            return None
        first, _, third = statistics.quantiles([value for value, _, _ in known], n=4, method="inclusive")
        reach = 3 * (third - first)
        near = [(low, high) for value, low, high in known if first - reach <= value <= third + reach]
        low, high = min(low for low, _ in near), max(high for _, high in near)
        return (low, high) if low < high else None


@dataclass(frozen=True)
class Section:
    """Experiments that can be compared, the best one first; each column has a point for each of them."""

    metric: str
    entries: Sequence[Entry]
    columns: Sequence[Column]
    apart: Sequence[str] = ()  # the settings by which it differs from another one of its title


Kind = frozenset[tuple[str, str]]  # settings by dotted key


def main() -> None:
    params: Any = OmegaConf.to_container(OmegaConf.load("params.yaml"))
    groups: dict[str, dict[Kind, list[Entry]]] = {}
    for entry in map(read, params["experiments"]):
        groups.setdefault(entry.card["content"], {}).setdefault(_kind(entry), []).append(entry)
    data = [[compare(entries, apart=_apart(kind, kinds)) for kind, entries in kinds.items()] for kinds in groups.values()]
    sections = [section for alike in data for section in alike]
    context = {"data": data, "sections": sections, "thumbnails": _thumbnails(sections)}
    templates = _templates()
    texts = {name: templates.get_template(f"{name}.j2").render(context) for name in ("index.html", "leaderboard.md")}
    page = templates.get_template("experiment.html.j2")
    for section in sections:
        for entry in section.entries:
            texts[f"experiments/{entry.name}.html"] = page.render(section=section, entry=entry)
    for path in (REPORTS / "experiments").glob("*.html"):
        if f"experiments/{path.name}" not in texts:
            path.unlink()
    for name, text in texts.items():
        write_atomic(REPORTS / name, text.encode())
    print(f"report: {REPORTS / 'index.html'}")


def compare(entries: Sequence[Entry], *, apart: Sequence[str] = ()) -> Section:
    """Ranks experiments by their objective on the test part; what they reach and what they cost make the columns."""
    metric, mode = _ranking(entries)
    sign = 1 if mode == "min" else -1
    scores = {entry.name: entry.point(f"test/{metric}").value for entry in entries}
    ranked = sorted(entries, key=lambda entry: (scores[entry.name] is None, sign * (scores[entry.name] or 0)))
    modes: dict[str, str | None] = {metric: None}  # the objective stands first, and states its own
    for entry in ranked:
        modes |= entry.config["evaluation"]["headline"]
    modes[metric] = mode
    columns = []
    for name, better in modes.items():
        columns.append(Column(words(name), better, number, [entry.point(f"test/{name}") for entry in ranked]))
    sizes = sorted({str(entry.config["data"].get("batch_size")) for entry in ranked})
    for label, name in {**COSTS, f"batch of {' or '.join(sizes)}, ms": "latency_batch_ms"}.items():
        points = [entry.point(name) for entry in ranked]
        columns.append(Column(label, "min", brief, [point if point.value else Point() for point in points]))
    return Section(words(metric), ranked, [columns[0], *(column for column in columns[1:] if column.known)], apart)


def _kind(entry: Entry) -> Kind:
    """What experiments of the same data must share to be compared; of an evaluation, all but what a short table shows."""
    config = entry.config
    evaluation = {key: value for key, value in config["evaluation"].items() if key != "headline"}
    kept = config["data"].get("keep") or {}
    shared = {"evaluation": evaluation, "data": {"keep": kept}, "objective": {"metric": config["objective"]["metric"]}}
    return frozenset(
        (key, value if isinstance(value, str) else json.dumps(value, sort_keys=True)) for key, value in flat(shared)
    )


def _apart(kind: Kind, kinds: Iterable[Kind]) -> list[str]:
    """The settings in which a kind differs from the others of its evaluation and metric, as on a command line."""
    alike = [other for other in kinds if all(dict(other)[key] == dict(kind)[key] for key in TITLE)]
    return [f"{key}={value}" for key, value in sorted(kind - frozenset.intersection(*alike))]


def _ranking(entries: Sequence[Entry]) -> tuple[str, str]:
    """The metric by which experiments are ranked, and its better end: the objective, or what stands for it on the test part.

    An objective that is of the training alone, such as its last step, has no value there; the first headline metric has.
    """
    objective = entries[0].config["objective"]
    metric = objective["metric"].partition("/")[2]
    if not any(entry.point(f"test/{metric}").value is not None for entry in entries):
        for name, better in entries[0].config["evaluation"]["headline"].items():
            if better:
                return name, better
    return metric, objective["mode"]


def picture(path: Path, width: int | None = None) -> dict[str, Any]:
    """The attributes of an img that holds a PNG as it is, or scaled down to a width as WebP."""
    kind, content = "png", path.read_bytes()
    with Image.open(path) as image:
        size = image.size
        if width:
            small = image.convert("RGB")
            small.thumbnail((width, 10 * width))
            small.save(buffer := BytesIO(), format="webp", quality=85)
            kind, content, size = "webp", buffer.getvalue(), small.size
    return {"src": f"data:image/{kind};base64,{b64encode(content).decode()}", "width": size[0], "height": size[1]}


def _thumbnails(sections: Sequence[Section]) -> dict[Path, dict[str, Any]]:
    """Small pictures of the figures, those of the best experiments first, while there is room."""
    found: dict[Path, dict[str, Any]] = {}
    for path in (path for section in sections for entry in section.entries for path in entry.figures):
        small = picture(path, width=480)
        if sum(len(other["src"]) for other in (small, *found.values())) > ROOM:
            break
        found[path] = small
    return found


def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=lambda name: ".html" in (name or ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"words": words, "number": number, "brief": brief, "picture": picture, "yaml": OmegaConf.to_yaml}
    return templates


if __name__ == "__main__":
    sys.exit(command_line.guard(main))
