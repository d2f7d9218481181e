"""Images that a table lists, and images in folders of splits, from the command line to the exported model."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from src.runs.folder import Run
from tests.repository import ROOT, run

TABLE = ("data=image_table", "data.table=my pictures/table.csv", "data.size=8", "data.columns.split=part")
NUMBERS = ("data.gives=number", "task=regression", "data.columns.target=[level,double level,negative]")
SMALL = ("model=cnn", "model.width=4", "trainer.max_epochs=3", "optimizer.lr=5e-3", "data.batch_size=8", "name=small")


def command(folder: Path, module: str, *overrides: str, code: int = 0) -> str:
    """What a command prints, in a process of its own."""
    done = run(folder, "python", "-m", f"src.{module}", *overrides, code=code, PYTHONPATH=str(ROOT))
    return done.stderr + done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sixty pictures with a level each, listed in a table."""
    folder, rng = tmp_path_factory.mktemp("a folder"), np.random.default_rng(0)
    pictures = folder / "my pictures"
    with (pictures.parent / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "level", "double level", "negative", "kind", "part"])
        for number in range(60):
            level = rng.uniform(30, 220)
            kind = "dark" if level < 120 else "light"
            split = ("train", "train", "train", "val", "test")[number % 5]
            path = Path(split, kind, f"{number}.png")
            (pictures / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.normal(level, 10, (10, 12, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(pictures / path)
            rows.writerow([path.as_posix(), round(level, 2), round(2 * level + 1000, 2), -level / 1000, kind, split])
    (folder / "table.csv").rename(pictures / "table.csv")
    return folder


@pytest.fixture(scope="module")
def trained(folder) -> tuple[Run, str]:
    """A regression with three numbers, and what the command printed."""
    printed = command(folder, "train", *TABLE, *NUMBERS, *SMALL)
    return Run(folder / printed.splitlines()[-1].removeprefix("run: ")), printed


@pytest.mark.slow
def test_a_regression_is_scored_and_recorded_in_the_units_of_the_table(trained, folder):
    own, printed = trained
    assert "test/rmse " in printed
    assert "test/r2 " in printed
    table = pd.read_parquet(own.predictions)
    names = ["level", "double level", "negative"]
    assert list(table) == ["index", "example", *(f"target_{one}" for one in names), *(f"prediction_{one}" for one in names)]
    listed = pd.read_csv(folder / "my pictures/table.csv").set_index("path").loc[table["example"]]
    for name in names:
        assert np.allclose(table[f"target_{name}"], listed[name], rtol=1e-6)
    metrics = json.loads(own.metrics.read_text())
    each = [np.sqrt(np.mean((table[f"prediction_{one}"] - table[f"target_{one}"]) ** 2)) for one in names]
    assert [metrics[f"test/rmse/{one}"] for one in names] == pytest.approx(each, rel=1e-5)
    assert metrics["test/rmse"] == pytest.approx(np.mean(each), rel=1e-5)
    assert metrics["test/rmse"] < 2 * metrics["test/rmse_of_mean"]
    assert set(json.loads(own.intervals.read_text())) >= {"val/rmse", "test/rmse", "test/mae", "test/r2", "test/r2/level"}
    assert {"predictions.png", "residuals.png"} <= {path.name for path in own.figures.iterdir()}


def test_the_exported_model_gives_the_numbers_of_the_table(trained):
    own, _ = trained
    table = pd.read_parquet(own.predictions)
    prepared = next((own.folder.parents[1] / "data/prepared").glob("image_table-*"))
    images = np.load(prepared / "image.npy")[table["index"]].astype(np.float32)
    module = torch.export.load(own.folder / "model/model.pt2").module()
    with torch.no_grad():
        answers = module(torch.from_numpy(images)).numpy()
    predictions = table[[name for name in table if name.startswith("prediction_")]].to_numpy()
    assert np.allclose(answers, predictions, rtol=1e-5, atol=1e-4)
    assert answers[:, 1].mean() > 1000


@pytest.mark.slow
def test_files_that_are_stored_as_they_are_predict_what_their_pixels_do(trained, folder):
    """The same weights come from both storages: without crops, the batches are equal."""
    printed = command(folder, "train", *TABLE, *NUMBERS, *SMALL, "data.storage=encoded")
    own = Run(folder / printed.splitlines()[-1].removeprefix("run: "))
    assert json.loads(own.data.read_text())["arrays"]["image"]["storage"] == "encoded"
    pd.testing.assert_frame_equal(pd.read_parquet(own.predictions), pd.read_parquet(trained[0].predictions))


@pytest.mark.slow
def test_it_is_found_again_evaluated_and_explained(trained, folder):
    own, _ = trained
    assert "This run exists; nothing is trained." in command(folder, "train", *TABLE, *NUMBERS, *SMALL)
    printed = command(folder, "evaluate", f"run={own.folder.name}", "split=val", "explanation=default", "robustness=default")
    numbers = {words[0]: words[1] for line in printed.splitlines() if len(words := line.split()) > 1}
    assert float(numbers["val/rmse"]) == pytest.approx(json.loads(own.metrics.read_text())["val/rmse"], abs=1e-3)
    assert "val/saliency_randomised_correlation" in numbers
    assert "val/mae_under_noise" in numbers
    assert (own.folder / "val/figures/explanation.png").is_file()


@pytest.mark.slow
def test_one_number_and_a_loss_of_ones_own(folder):
    more = ("data.columns.target=level", "task.loss._target_=torch.nn.HuberLoss", "+task.loss.delta=0.5")
    printed = command(folder, "train", *TABLE, *NUMBERS[:2], *more, *SMALL, "trainer.max_epochs=1")
    own = Run(folder / printed.splitlines()[-1].removeprefix("run: "))
    assert list(pd.read_parquet(own.predictions)) == ["index", "example", "target_level", "prediction_level"]


@pytest.mark.slow
def test_a_wrong_number_is_refused_with_its_line_before_anything_is_written(folder, tmp_path):
    content = (folder / "my pictures/table.csv").read_text().splitlines()
    content[7] = content[7].replace(content[7].split(",")[1], "old")
    (tmp_path / "table.csv").write_text("\n".join(content))
    table = ("data=image_table", "data.table=table.csv", f"data.root={folder / 'my pictures'}", *NUMBERS, *SMALL)
    printed = command(tmp_path, "train", *table, code=2)
    assert "column level (data.columns.target) a number, with a decimal point; received something else in 1 of 60" in printed
    assert printed.endswith("\n  line 8: 'old'\n")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.slow
def test_splits_go_by_groups_or_by_time(folder, tmp_path):
    rows = pd.read_csv(folder / "my pictures/table.csv")
    rows["patient"] = [f"patient {number}" for number in np.arange(60) * 7 % 13]
    rows["taken"] = pd.to_datetime("2024-01-01") + pd.to_timedelta(np.arange(60) * 11 % 60, unit="D")
    rows.to_csv(tmp_path / "table.csv", index=False)
    shared = ("data=image_table", "data.table=table.csv", f"data.root={folder / 'my pictures'}", "data.size=8")
    shared += ("data.columns.target=kind", "data.dataset.split.val=6")

    def splits(*overrides: str) -> dict[str, pd.DataFrame]:
        printed = command(tmp_path, "prepare", *shared, *overrides)
        prepared = tmp_path / "data/prepared" / printed.splitlines()[-1].rpartition("/")[2]
        names = json.loads((prepared / "names.json").read_text())
        assert names == rows["path"].tolist()
        return {split: rows.iloc[np.load(prepared / f"{split}.index.npy")] for split in ("train", "val", "test")}

    by_time = splits("data.columns.time=taken", "data.dataset.split.test=12")
    assert [len(part) for part in by_time.values()] == [42, 6, 12]
    assert by_time["train"]["taken"].max() < by_time["val"]["taken"].min()
    assert by_time["val"]["taken"].max() < by_time["test"]["taken"].min()
    tested = []
    for fold in range(3):
        parts = splits("data.columns.group=patient", "data.dataset.split.folds=3", f"data.dataset.split.fold={fold}")
        own = [{*part["patient"]} for part in parts.values()]
        assert sum(map(len, own)) == len(set.union(*own)) == 13
        tested += parts["test"]["path"].tolist()
    assert sorted(tested) == sorted(rows["path"])


@pytest.mark.slow
def test_folders_of_splits_are_prepared(folder):
    printed = command(folder, "prepare", "data=image_folder", "data.root=my pictures", "data.size=8")
    card = json.loads(next((folder / "data/prepared").glob("image_folder-*/card.json")).read_text())
    assert card["classes"] == ["dark", "light"]
    assert card["split"]["own"] == ["test", "train", "val"]
    assert card["counts"] == {"train": 36, "val": 12, "test": 12}
    assert "1 .csv" not in printed, "the table lies beside the folders"
