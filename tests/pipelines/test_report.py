"""The report of fictitious results."""

import json
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import t

from pipelines import provenance, report
from pipelines.formatting import number
from src.errors import InputError
from src.tracking.queue import Queue, try_lock
from tests.contracts.shipped import shipped
from tests.pipelines import CARD, results, upload, write
from tests.repository import ROOT

pytestmark = pytest.mark.usefixtures("project")


def leaderboard() -> str:
    report.main()
    return Path("reports/leaderboard.md").read_text().replace("\u00a0", " ")


def index() -> str:
    report.main()
    return Path("reports/index.html").read_text().replace("\u00a0", " ")


def rows(text: str) -> list[str]:
    """The names in the tables of the leaderboard, from top to bottom."""
    return re.findall(r"^\| \[(\w+)\]", text, re.MULTILINE)


@pytest.mark.parametrize(("mode", "ranking"), [("max", ["b", "c", "a"]), ("min", ["a", "c", "b"])])
def test_experiments_are_ranked_by_their_objective(mode, ranking):
    for name, value in (("a", 0.1), ("b", 0.9), ("c", 0.5)):
        results(name, {"grip": value}, mode=mode)
    assert rows(leaderboard()) == ranking


def test_an_experiment_without_the_objective_comes_last():
    results("a", {"reach": 0.1})
    results("b", {"grip": 0.5, "reach": 0.2})
    assert rows(leaderboard()) == ["b", "a"]
    assert "| – | 0.1000" in leaderboard()


def test_an_objective_without_a_test_value_gives_way_to_the_first_headline_metric_with_a_better_end():
    modes = {"width": None, "slips": "min"}
    for name, slips in (("a", 0.3), ("b", 0.2)):
        results(name, {"width": 0.7, "slips": slips}, modes=modes)
    text = leaderboard()
    assert rows(text) == ["b", "a"]
    assert "| experiment | slips | width |" in text


def test_the_best_of_each_column_is_marked():
    modes = {"slips": "min", "width": None}
    results("a", {"grip": 0.9, "slips": 0.3, "width": 0.7}, modes=modes, timings={"fit_seconds": 2.0, "latency_one_ms": 4})
    results("b", {"grip": 0.5, "slips": 0.2, "width": 0.1}, modes=modes, timings={"fit_seconds": 9.0})
    text = leaderboard()
    assert "| experiment | grip | slips | width | parameters | training, s | one example, ms |\n" in text
    assert (
        "| **0.9000** (0.8900–0.9100) | 0.3000 (0.2900–0.3100) | 0.7000 (0.6900–0.7100) | **53.1 k** | **2.00** | **4** |"
        in text
    )
    assert "| 0.5000 (0.4900–0.5100) | **0.2000** (0.1900–0.2100) | 0.1000 (0.0900–0.1100) | **53.1 k** | 9.00 | – |" in text
    assert index().count('class="best"') == 6


@pytest.mark.parametrize(
    "other",
    [
        {"card": {"name": "pebbles", "content": "beef"}},
        {"evaluation": "made.up.Throwing"},
        {"settings": {"classifier": "runs/grown-up"}},
        {"keep": {"train": [1]}},
        {"metric": "reach"},
    ],
    ids=["data", "evaluation", "classifier", "classes", "objective"],
)
def test_experiments_are_compared_where_they_share_data_evaluation_and_objective(other):
    results("a", {"grip": 0.9, "reach": 1.0})
    results("b", {"grip": 0.8, "reach": 1.0})
    results("c", {"grip": 0.7, "reach": 1.0}, **other)
    text = leaderboard()
    assert text.count("### ") == 2
    assert rows(text.split("### ")[1]) == ["a", "b"]
    assert "c reaches" in text.split("### ")[2]
    assert text.count("\n## ") == (2 if "card" in other else 1)


def test_comparisons_with_equal_titles_name_the_settings_that_differ():
    results("a", {"grip": 0.9}, settings={"classifier": "runs/child", "strict": True})
    results("b", {"grip": 0.8}, settings={"classifier": "runs/grown-up", "strict": True}, keep={"train": [1]})
    results("c", {"grip": 0.7}, evaluation="made.up.Throwing")
    titles = ["Handling by grip (data.keep={}, evaluation.classifier=runs/child)"]
    titles += ["Handling by grip (data.keep.train=[1], evaluation.classifier=runs/grown-up)", "Throwing by grip"]
    assert re.findall(r"^### (.*)", leaderboard(), re.MULTILINE) == titles
    assert re.findall(r"<h3 .*>(.*)</h3>", index()) == titles


@pytest.mark.slow
def test_folds_are_one_row_with_the_interval_of_their_mean():
    for fold, grip in enumerate((0.8, 0.9, 0.85)):
        results(f"hand_fold_{fold}", {"grip": grip}, fold=fold, seed=0)
        results(f"foot_{fold}", {"grip": grip / 2}, fold=fold, seed=0, fingers=0)
    results("hand_of_one_fold", {"grip": 0.7}, fold=1, seed=1, fingers=4)
    text = leaderboard()
    low, high = t.interval(0.95, 2, 0.85, 0.05 * np.sqrt(1 / 3 + 1 / 2))
    assert (
        f"| [hand_fold](experiments/hand_fold.html) (mean of 3 folds) | **0.8500** ({low:.4f}–{high:.4f}) | **53.1 k** |"
        in text
    )
    assert "| [foot](experiments/foot.html) (mean of 3 folds) | 0.4250 (" in text
    assert text.count("\n## ") == 1, "folds share their data"
    assert "### Handling by grip (data.dataset.split.fold=[1])" in text, "one fold has another test split than all of them"
    assert "split seed 0, val 0.1, folds 3; duplicates" in text
    page = Path("reports/experiments/hand_fold.html").read_text()
    assert re.findall(r"<tr><th scope=.row.>(hand_fold_.)</th><td>0</td><td>(.)</td><td>(.{6})</td></tr>", page) == [
        ("hand_fold_0", "0", "0.8000"),
        ("hand_fold_1", "1", "0.9000"),
        ("hand_fold_2", "2", "0.8500"),
    ]
    assert "python -m src.train +experiment=hand_fold_0" in page
    assert "Mean of 3 folds." in index()


def test_seeds_are_one_row_and_equal_ones_are_not():
    results("a", {"grip": 0.8}, seed=0)
    results("a_again", {"grip": 0.9}, seed=1)
    results("b", {"grip": 0.7}, seed=2, modes={"grip": "min"})
    results("c", {"grip": 0.7}, seed=2, modes={"grip": "min"})
    text = leaderboard()
    low, high = t.interval(0.95, 1, 0.85, np.sqrt(0.005 / 2))
    assert f"| [a_and_1_more](experiments/a_and_1_more.html) (mean of 2 seeds) | **0.8500** ({low:.4f}–{high:.4f})" in text
    assert rows(text)[1:] == ["b", "c"]


def test_a_class_with_a_slash_in_its_name_has_its_row():
    path = results("a", {"grip": 0.9}) / "evaluation/metrics.json"
    write(path, {**json.loads(path.read_text()), "test/grip/shell/left half": 0.125})
    report.main()
    page = Path("reports/experiments/a.html").read_text()
    assert re.search(r"<th scope=\"row\">shell/left half</th>\s*<td>0.1250</td>", page)
    assert re.search(r"<th scope=\"row\">round</th>\s*<td>0.2500</td>", page)


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (0.89, "a is best with grip 0.9000, 0.0100 ahead of b with 0.8900. Their 95 % intervals overlap (0.8900–0.9100 and "
               "0.8800–0.9000), so the order of these two may be chance."),
        (0.5, "a is best with grip 0.9000, 0.4000 ahead of b with 0.5000. Their 95 % intervals do not overlap "
              "(0.8900–0.9100 and 0.4900–0.5100)."),
        (0.9, "a and b are equally good, with grip 0.9000. Their 95 % intervals overlap"),
        (float("nan"), "a reaches grip 0.9000 (95 % interval 0.8900–0.9100). There is no other experiment to compare it with."),
    ],
)  # fmt: skip
def test_a_sentence_says_how_far_the_best_is_ahead(second, sentence):
    results("a", {"grip": 0.9})
    results("b", {"grip": second})
    assert f"\n{sentence}" in leaderboard()
    assert f">{sentence}" in index()


def test_what_is_not_known_is_a_dash():
    results("a", {"grip": 0.9}, parameters=0, timings={})
    results("b", {"grip": 0.5}, timings={})
    text = leaderboard()
    assert "| experiment | grip | parameters |\n" in text
    assert "| **0.9000** (0.8900–0.9100) | – |\n" in text


@pytest.mark.slow
def test_the_data_are_described():
    results("a", {"grip": 0.9})
    for text in (leaderboard(), index()):
        assert "1,200 train, 100 val, 200 test" in text
        assert "val 0.1, seed 0; test as in the source" in text
        assert "3 of test in train" in text
    assert CARD["content"] in index()
    assert "image 3×8×8 uint8" in index()
    assert "&lt;b&gt;flat&lt;/b&gt;" in index()


@pytest.mark.slow
def test_what_its_preparation_noted_is_told():
    results("a", {"grip": 0.9}, card={"notes": ["1 file is <b>."], "duplicates": {"test in train": 0, "under two labels": 4}})
    assert "duplicates: 4 under two labels;" in leaderboard()
    assert "1 file is &lt;b&gt;." in index()
    assert "<b>flat" not in index()


@pytest.mark.slow
def test_an_experiment_has_a_page_of_its_own():
    results("a", {"grip": 0.9}, figures=2)
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/a.yaml").write_text("# @package _global_\n# Takes <five> fingers.\n# Expected: 0.9.\nname: a\n# no\n")
    report.main()
    page = Path("reports/experiments/a.html").read_text()
    assert "Takes &lt;five&gt; fingers. Expected: 0.9.<" in page
    assert "Takes &lt;five&gt; fingers. Expected: 0.9.<" in index()
    assert page.count('<img src="data:image/png;base64,') == 2
    assert "fingers: 5" in page
    assert re.search(r"<th scope=\"row\">round</th>\s*<td>0.2500</td>", page)
    assert "<td>0.7500</td>" in page  # of the second epoch
    assert 'href="experiments/a.html"' in index()


def test_the_page_of_an_experiment_that_is_no_longer_listed_goes():
    results("a", {"grip": 0.9})
    results("b", {"grip": 0.9})
    report.main()
    write(Path("params.yaml"), {"experiments": ["a"]})
    report.main()
    assert [path.name for path in Path("reports/experiments").iterdir()] == ["a.html"]
    assert "b.html" not in index()


def test_equal_inputs_make_equal_pages():
    results("a", {"grip": 0.9})
    report.main()
    before = {path: path.read_bytes() for path in Path("reports").rglob("*.*")}
    time.sleep(0.01)
    report.main()
    assert {path: path.read_bytes() for path in Path("reports").rglob("*.*")} == before
    assert len(before) == 3


def test_pages_hold_all_that_they_show(monkeypatch):
    results("a", {"grip": 0.9}, figures=3)
    results("b", {"grip": 0.8}, figures=3)
    text = index()
    assert text.count("<img") == 6
    assert "More figures" not in text
    for page in [text, *(path.read_text() for path in Path("reports/experiments").iterdir())]:
        assert set(re.findall(r'src="(.{10})', page)) == {"data:image"}
        assert not re.findall(r"https?:|url\(|@import", page)
        assert page.count("<img") == page.count(" alt=")
        assert page.count("<th ") == page.count("<th scope=") == page.count("</th>")
    assert 'aria-sort="descending"' in text
    size = len(report.picture(Path("results/a/figures/fingers_0.png"), width=report.WIDTH)["src"])
    monkeypatch.setattr(report, "THUMBNAILS", int(2.5 * size))
    text = index()
    assert re.findall(r'alt="(.+?)"', text) == ["Fingers 0 of a", "Fingers 1 of a"]
    assert "More figures are on the pages of the experiments." in text


def facts(page: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(?:<code>)?(.*?)(?:</code>)?</dd>", page))


def test_the_page_shows_the_settings_and_where_the_run_comes_from():
    folder = results("a", {"grip": 0.9}, timings={"fit_seconds": 2.5, "fit_load_of_others": 0.126})
    config = yaml.safe_load((folder / "model/config.yaml").read_text())
    config |= {
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 3e-4},
        "scheduler": None,
        "augmentation": {"_target_": "made.up.Augmentation", "affine": {"_target_": "made.up.Affine"}},
        "divergence": {"_target_": "made.up.Stop"},
        "seed": 7,
    }
    write(folder / "model/config.yaml", config)
    record = {"tags": {"host": "box", "cpus": "2", "device": "cpu", "git.dirty": "true"}, "started": 1_766_000_000_000}
    record["tags"]["mlflow.source.git.commit"] = "0123456789abcdef"
    write(folder / "evaluation/run.json", {"folder": "runs/a-1", **provenance.of_record(record)})
    report.main()
    shown = facts(Path("reports/experiments/a.html").read_text())
    assert {
        "model": "Hand",
        "learning rate": "0.0003",
        "schedule": "constant",
        "batch size": "32",
        "augmentation": "affine",
        "seed": "7",
        "fit seconds": "2.50",
        "command": "python -m src.train +experiment=a",
        "commit": "0123456789ab with uncommitted changes",
        "date": "2025-12-17 19:33 UTC",
        "machine": "box, 2 processors, trained on cpu",
        "processors in use by others": "13% during the training",
    }.items() <= shown.items()
    assert "divergence" not in shown


def test_an_analysis_stands_apart_from_the_scores():
    folder = results("a", {"grip": 0.9, "pull_correlation": 0.25})
    write(folder / "evaluation/analyses.json", {"explanation": ["pull_correlation"], "robustness": []})
    report.main()
    page = Path("reports/experiments/a.html").read_text()
    scores, explanation = page[page.index('id="scores"') :].split('<h2 id="explanation">Explanation</h2>')
    assert "pull correlation" not in scores
    assert re.search(r'<th scope="row">pull correlation</th>\s*<td>0.2500', explanation)
    assert 'id="robustness"' not in page


def test_a_data_set_of_ones_own_has_the_name_of_its_folder():
    path = results("a", {"grip": 0.9}) / "model/config.yaml"
    config = yaml.safe_load(path.read_text())
    write(path, {**config, "data": {**config["data"], "root": "data/raw/flowers"}})
    assert "</span> flowers</h2>" in index()
    assert "## flowers" in leaderboard()
    assert "by grip on flowers." in Path("reports/experiments/a.html").read_text()


def test_missing_results_name_the_remedy():
    results("a", {"grip": 0.9})
    Path("results/a/evaluation/run.json").unlink()
    with pytest.raises(InputError, match=r"results/a: expected .* no evaluation/run.json. Run: dvc repro"):
        report.main()
    assert not Path("reports").exists()


def test_results_that_cannot_be_read_do_not_hold_up_the_others():
    for name, value in (("a", 0.1), ("b", 0.9), ("c", 0.5)):
        results(name, {"grip": value})
    Path("results/b/evaluation/metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"results/b/evaluation/metrics.json: expected .* Run: dvc repro"):
        report.main()
    assert rows(Path("reports/leaderboard.md").read_text()) == ["c", "a"]


@pytest.mark.parametrize(
    ("uri", "state", "link"),
    [
        (
            "sqlite:////here/mlflow.db",
            {"experiment": "3"},
            "http://127.0.0.1:5000/#/experiments/3/runs/abc?workflowType=machine_learning",
        ),
        (
            "https://me:secret@host:8/mlflow/",
            {"experiment": "3"},
            "https://host:8/mlflow/#/experiments/3/runs/abc?workflowType=machine_learning",
        ),
        ("sqlite:////here/mlflow.db", {}, None),
        ("postgresql://host/db", {"experiment": "3"}, None),
    ],
)
def test_links_to_the_run(uri, state, link):
    results("a", {"grip": 0.9})
    upload("a", uri, **state)
    text = index()
    assert re.findall(r'href="(http[^"]+)"', text) == ([link] if link else [])
    assert ("make ui" in text) == bool(link)
    assert (str(link) in Path("reports/experiments/a.html").read_text()) == bool(link)


def test_it_waits_for_an_uploader_that_is_busy():
    results("a", {"grip": 0.9})
    uri = "sqlite:////here/mlflow.db"
    upload("a", uri, status="RUNNING")
    queue = Queue.of(Path("runs/a-1"), uri)
    queue.put(Path("runs/a-1"))
    with open(queue.lock, "a+") as lock:
        assert try_lock(lock)  # as the uploader holds it
        thread = threading.Timer(0.3, upload, ("a", uri), {"experiment": "3"})
        thread.start()
        assert "experiments/3/runs/abc" in index()
        thread.join()


def test_a_store_that_is_away_does_not_fail_the_report(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    results("a", {"grip": 0.9})
    upload("a", "http://127.0.0.1:9", status="RUNNING")
    assert "make ui" not in index()
    output = capsys.readouterr()
    assert "runs/a-1 is not in the store: http://127.0.0.1:9 does not answer" in output.err
    assert output.out == "report: reports/index.html\n"


def test_what_the_training_drew_is_shown_in_its_order():
    figures = results("a", {"grip": 0.9}) / "figures"
    results("b", {"grip": 0.8})
    (figures / "training").mkdir()
    for epoch in (10, 2):
        (figures / "training" / f"hand_epoch_{epoch:04d}.png").write_bytes((figures / "fingers_0.png").read_bytes())
    report.main()
    page = Path("reports/experiments/a.html").read_text()
    part = page[page.index('<h2 id="training">') : page.index("<h2>In full</h2>")]
    assert re.findall(r"<figcaption>(.*)</figcaption>", part) == ["Hand epoch 0002", "Hand epoch 0010"]
    assert part.count('<img src="data:image/png;base64,') == 2
    assert 'id="training"' not in Path("reports/experiments/b.html").read_text()


def test_the_page_shows_the_search():
    folder = results("a", {"grip": 0.9}) / "search"
    results("b", {"grip": 0.8})
    best = {"study": "a", "trial": 1, "val/grip": 0.75, "overrides": {"model.fingers": 4}, "nodes": {}}
    write(folder.parent / "inputs" / "tuned.yaml", best)
    folder.mkdir()
    (folder / "trials.csv").write_text("number,state\n0,COMPLETE\n1,COMPLETE\n2,PRUNED\n")
    write(folder / "run.json", {"folder": "runs/sweeps/a"})
    (folder / "figures").mkdir()
    (folder / "figures" / "history.png").write_bytes((folder.parent / "figures" / "fingers_0.png").read_bytes())
    report.main()
    page = Path("reports/experiments/a.html").read_text()
    part = page[page.index('<h2 id="search">') : page.index("<h2>In full</h2>")]
    assert "3 trials (2 complete, 1 pruned)" in part
    assert "<dt>model.fingers</dt><dd>4</dd>" in part
    assert "<dt>val/grip</dt><dd>0.7500</dd>" in part
    assert 'alt="History of the search for a"' in part
    assert 'id="search"' not in Path("reports/experiments/b.html").read_text()


def test_a_run_that_was_pulled_has_no_folder_here():
    results("a", {"grip": 0.9})
    report.main()
    assert not Path("runs").exists()


def test_it_knows_no_task_model_or_data_by_name():
    tasks = {path.stem for path in (ROOT / "conf/task").glob("*.yaml")}
    names = tasks.union(*map(shipped, ("model", "data", "experiment"))) - {"text"}  # a word of any code
    files = [
        *(ROOT / f"pipelines/{name}.py" for name in ("report", "results", "provenance", "formatting")),
        *(ROOT / "pipelines/templates").iterdir(),
        *(ROOT / "pipelines/gallery").glob("*.py"),
    ]
    used = {word for path in files for word in re.findall(r"\w+", path.read_text().lower())}
    assert len(names) > 10
    assert names & used == set()


def test_a_scale_leaves_out_what_lies_far_off():
    estimates = [report.Estimate(value, (value - 0.01, value + 0.01)) for value in (0.98, 0.97, 0.96, 0.95, 0.94, 0.1)]
    low, high = report.Column("grip", "max", number, estimates).scale
    assert (low, high) == (pytest.approx(0.93), pytest.approx(0.99))
    assert report.Column("grip", "max", number, estimates[:1]).scale is None
