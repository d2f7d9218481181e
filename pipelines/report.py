"""The report stage: `python -m pipelines.report` writes index.html, leaderboard.md and a page for each experiment to reports/.

It reads results/, and knows no task, model or data set by name. It compares experiments that share the data and the classes
kept of them, the evaluation with its settings, and the objective. Those that differ in seed or fold alone are one row.
"""

import json
import statistics
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import jinja2
from omegaconf import OmegaConf
from PIL import Image

from pipelines import repeats
from pipelines.formatting import brief, number, words
from pipelines.params import Params
from pipelines.results import Entry, Estimate, read
from src.config import command_line
from src.errors import InputError
from src.runs.files import write_atomic
from src.runs.identity import flat

REPORTS = Path("reports")
WIDTH = 720  # pixels of a thumbnail, at most
THUMBNAILS = 4_000_000  # characters of thumbnails in the index, which stays under 5 MB
TITLE = ("evaluation._target_", "objective.metric")
COSTS = {"parameters": "parameters", "FLOPs": "flops", "training, s": "fit_seconds", "one example, ms": "latency_one_ms"}


@dataclass(frozen=True)
class Column:
    """One quantity of several experiments.

    Args:
        mode: which end is better: min, max, or None for neither.
        show: the text of a value.
    """

    label: str
    mode: str | None
    show: Callable[[float], str]
    estimates: Sequence[Estimate]

    @property
    def best(self) -> float | None:
        if self.mode is None:
            return None
        return (min if self.mode == "min" else max)(self.values, default=None)

    @property
    def values(self) -> list[float]:
        """Those that are known."""
        return [estimate.value for estimate in self.estimates if estimate.value is not None]

    @property
    def scale(self) -> tuple[float, float] | None:
        """The range of the intervals, without those far off (Tukey's outer fences), beside which the others would be dots."""
        known = [(one.value, *one.interval) for one in self.estimates if one.value is not None and one.interval]
        if len(known) < 2:
            return None
        first, _, third = statistics.quantiles([value for value, _, _ in known], n=4, method="inclusive")
        reach = 3 * (third - first)
        near = [(low, high) for value, low, high in known if first - reach <= value <= third + reach]
        low, high = min(low for low, _ in near), max(high for _, high in near)
        return (low, high) if low < high else None


@dataclass(frozen=True)
class Comparison:
    """Experiments that can be compared, the best one first.

    Args:
        columns: each has an estimate for each experiment.
        distinction: the settings by which it differs from another comparison with the same title.
    """

    metric: str
    entries: Sequence[Entry]
    columns: Sequence[Column]
    distinction: Sequence[str] = ()


Settings = frozenset[tuple[str, str]]  # by dotted key


def main(arguments: Sequence[str] = ()) -> None:
    command_line.keywords(arguments)
    entries, unread = _entries()
    groups: dict[str, dict[Settings, list[Entry]]] = {}
    for entry in repeats.merged(entries):
        groups.setdefault(repeats.data_key(entry), {}).setdefault(_shared_settings(entry), []).append(entry)
    data_sets = [
        [compare(entries, distinction=_distinction(settings, group)) for settings, entries in group.items()]
        for group in groups.values()
    ]
    comparisons = [comparison for group in data_sets for comparison in group]
    context = {"data_sets": data_sets, "comparisons": comparisons, "thumbnails": _thumbnails(comparisons)}
    templates = _templates()
    texts = {name: templates.get_template(f"{name}.j2").render(context) for name in ("index.html", "leaderboard.md")}
    page = templates.get_template("experiment.html.j2")
    for comparison in comparisons:
        for entry in comparison.entries:
            texts[f"experiments/{entry.name}.html"] = page.render(comparison=comparison, entry=entry)
    for path in (REPORTS / "experiments").glob("*.html"):
        if f"experiments/{path.name}" not in texts:
            path.unlink()
    for name, text in texts.items():
        write_atomic(REPORTS / name, text.encode())
    print(f"report: {REPORTS / 'index.html'}")
    if unread:
        raise InputError("\n".join(unread))


def _entries() -> tuple[list[Entry], list[str]]:
    """The results of the experiments, and what is wrong with those that cannot be read.

    Raises:
        InputError: none can.
    """
    entries, unread = [], []
    for name in Params.read().experiments:
        try:
            entries.append(read(name))
        except InputError as error:
            unread.append(str(error))
    if not entries:
        raise InputError("\n".join(unread))
    return entries, unread


def compare(entries: Sequence[Entry], *, distinction: Sequence[str] = ()) -> Comparison:
    """Ranks experiments by their objective on the test split. The columns are their scores and their costs."""
    metric, mode = _ranking(entries)
    sign = 1 if mode == "min" else -1
    scores = {entry.name: entry.estimate(f"test/{metric}").value for entry in entries}
    ranked = sorted(entries, key=lambda entry: (scores[entry.name] is None, sign * (scores[entry.name] or 0)))
    modes: dict[str, str | None] = {metric: None}  # the objective stands first, and states its own
    for entry in ranked:
        modes |= entry.config["evaluation"]["headline"]
    modes[metric] = mode
    columns = []
    for name, better in modes.items():
        columns.append(Column(words(name), better, number, [entry.estimate(f"test/{name}") for entry in ranked]))
    sizes = sorted({str(entry.config["data"].get("batch_size")) for entry in ranked})
    for label, name in {**COSTS, f"batch of {' or '.join(sizes)}, ms": "latency_batch_ms"}.items():
        estimates = [entry.estimate(name) for entry in ranked]
        columns.append(Column(label, "min", brief, [one if one.value else Estimate() for one in estimates]))
    return Comparison(words(metric), ranked, [columns[0], *(column for column in columns[1:] if column.values)], distinction)


def _shared_settings(entry: Entry) -> Settings:
    """What experiments on the same data must share to be compared. The headline of an evaluation only chooses columns."""
    config = entry.config
    evaluation = {key: value for key, value in config["evaluation"].items() if key != "headline"}
    kept = config["data"].get("keep") or {}
    folds = sorted({one.fold for one in entry.members or [entry] if one.fold is not None})  # another one has another test split
    data = {"keep": kept, **({"dataset": {"split": {"fold": folds}}} if folds else {})}
    shared = {"evaluation": evaluation, "data": data, "objective": {"metric": config["objective"]["metric"]}}
    return frozenset(
        (key, value if isinstance(value, str) else json.dumps(value, sort_keys=True)) for key, value in flat(shared)
    )


def _distinction(settings: Settings, group: Iterable[Settings]) -> list[str]:
    """The settings that differ from those of other comparisons with the same title, as on a command line."""
    same_title = [other for other in group if all(dict(other)[key] == dict(settings)[key] for key in TITLE)]
    return [f"{key}={value}" for key, value in sorted(settings - frozenset.intersection(*same_title))]


def _ranking(entries: Sequence[Entry]) -> tuple[str, str]:
    """The metric by which experiments are ranked, and its better end.

    It is the objective. An objective that only a training has, such as its last step, has no value on the test split; the first
    headline metric with a better end takes its place.
    """
    objective = entries[0].config["objective"]
    metric = objective["metric"].partition("/")[2]
    if not any(entry.estimate(f"test/{metric}").value is not None for entry in entries):
        for name, better in entries[0].config["evaluation"]["headline"].items():
            if better:
                return name, better
    return metric, objective["mode"]


def picture(path: Path, width: int | None = None) -> dict[str, str | int]:
    """The attributes of an img that holds a PNG as it is, or a WebP that is at most `width` pixels wide."""
    kind, content = "png", path.read_bytes()
    with Image.open(path) as image:
        size = image.size
        if width:
            small = image.convert("RGB")
            small.thumbnail((width, 10 * width))
            small.save(buffer := BytesIO(), format="webp", quality=85)
            kind, content, size = "webp", buffer.getvalue(), small.size
    return {"src": f"data:image/{kind};base64,{b64encode(content).decode()}", "width": size[0], "height": size[1]}


def _thumbnails(comparisons: Sequence[Comparison]) -> dict[Path, dict[str, str | int]]:
    """Small pictures of the figures, those of the best experiments first, as many as fit into the index."""
    thumbnails: dict[Path, dict[str, str | int]] = {}
    size = 0
    for path in (path for comparison in comparisons for entry in comparison.entries for path in entry.figures):
        small = picture(path, width=WIDTH)
        size += len(str(small["src"]))
        if size > THUMBNAILS:
            break
        thumbnails[path] = small
    return thumbnails


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
    sys.exit(command_line.call(main, sys.argv[1:]))
