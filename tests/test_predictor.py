"""Answers for raw inputs: in every experiment of the gallery they equal the predictions, and what is broken costs no other."""

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from src import predict
from src.config import assembly, composition
from src.data.images import Images
from src.data.masks import Masks
from src.data.texts import Texts
from src.errors import InputError
from src.evaluation.predictions import predictions
from src.experiment import Experiment
from src.learner import HasNetwork
from src.predictor import NotAnswered, Predictor
from src.runs.files import write_json
from tests.contracts.shipped import at_hand, shipped
from tests.repository import ROOT, run
from tests.sinks import ListSink
from tests.tagging import TAGS, write_configuration

COUNT = 600  # examples of a split, more than one forward pass has
ON_STREAMS = ("gpt", "gpt_10m", "lstm_lm")  # `generate` asks them, and they take no raw inputs
EXPERIMENTS = [name for name in filter(at_hand, shipped("experiment")) if name not in ON_STREAMS]
ON_PHOTOGRAPHS = [name for name in EXPERIMENTS if "photographs" in (ROOT / f"conf/experiment/{name}.yaml").read_text()]


def exported(folder: Path, *overrides: str) -> Experiment:
    """A run folder as a training leaves it, with the weights that it began with; estimators are fitted."""
    config = composition.compose(overrides)
    prepared = assembly.prepare(config)
    resolved = assembly.complete(config, prepared)
    experiment = assembly.build(resolved, prepared)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(resolved))
    write_json(folder / "data_card.json", prepared.card)
    if not isinstance(experiment.learner, HasNetwork):
        experiment.learner.fit(experiment.data, folder=folder, sink=ListSink())
    experiment.learner.export(folder)
    return experiment


def answers(experiment: Experiment, rows: np.ndarray) -> pd.DataFrame:
    """The table of predictions of some rows, by the number of the example."""
    batches = experiment.learner.predict(experiment.data, rows)
    tables = [
        pd.DataFrame({"index": index, **experiment.evaluation.columns(outputs, target)})
        for index, outputs, target in experiment.data.assemble(rows, batches)
    ]
    return pd.concat(tables).set_index("index")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in ON_PHOTOGRAPHS])
def test_a_raw_input_has_the_answer_of_its_prediction(name, project, request):
    config = composition.compose([f"+experiment={name}"])
    _, prepared = request.getfixturevalue(config.data.dataset.name)
    if config.data.dataset.name in ("fashion_mnist", "isbi2012", "sentence_polarity"):
        request.getfixturevalue("data_cache")
    few = ["data.count=500"] if "count" in config.data else []
    experiment = exported(Path("run"), f"+experiment={name}", f"paths.prepared={prepared.folder.parent}", *few)
    data, rows = experiment.data, experiment.data.rows("test")[:COUNT]
    if isinstance(data, Masks):
        numbers = np.unique(data.prepared.array("group")[rows])[:2]
        rows = np.concatenate([data.tiles(number)[0] for number in numbers])
        raw = [data.whole(number)[0] for number in numbers]
    elif isinstance(data, Texts):
        numbers = rows  # the longest text beside it decides an answer's last bits
        raw = [data.text(row) for row in rows.tolist()]
    else:
        numbers = rows[::-7]  # other examples beside each one than in the split
        raw = [*data.inputs(numbers)]
    table, expected = Predictor.load("run").predict(raw), answers(experiment, rows).loc[numbers]
    shared = [column for column in table if column in expected]
    assert shared
    if isinstance(data, Texts):
        others = Predictor.load("run").predict(raw[::-7])[shared]
        np.testing.assert_allclose(others, expected[::-7][shared], atol=1e-6)
    for column in shared:
        assert table[column].tolist() == expected[column].tolist(), column


@pytest.fixture(scope="module")
def flowers(shared_project: Path) -> Path:
    """A few photographs of two classes, a test split of three."""
    root, rng = Path("flowers"), np.random.default_rng(0)
    for number in range(9):
        path = root / ("train", "val", "test")[number % 3] / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(path)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_PHOTOGRAPHS)
def test_a_photograph_has_the_answer_of_its_prediction(name, flowers):
    experiment = exported(Path(f"runs/{name}"), f"+experiment={name}", f"data.root={flowers}", "data.batch_size=3")
    names, rows = experiment.prepared.names, experiment.data.rows("test")
    table = Predictor.load(f"runs/{name}").predict([flowers / names[row] for row in rows])
    expected = answers(experiment, rows)
    for column in ("prediction", "probability_a", "probability_b"):
        assert table[column].tolist() == expected[column].tolist()


@pytest.mark.slow
def test_files_that_are_stored_as_they_are_have_the_same_answers(project):
    rng = np.random.default_rng(0)
    paths = [Path("images") / "ab"[number % 2] / f"{number}.jpg" for number in range(40)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(path)
    files = ("data=image_folder", "data.root=images", "data.size=16", "data.storage=encoded", "data.random_crop=[0.1,0.6]")
    experiment = exported(Path("run"), "+experiment=cnn", *files)
    names = experiment.prepared.names
    table = Predictor.load("run").predict([Path("images") / name for name in names])
    expected = answers(experiment, np.arange(len(names)))
    for column in ("prediction", "probability_a", "probability_b"):
        assert table[column].tolist() == expected[column].tolist()


@pytest.fixture(scope="module")
def photographs(shared_project: Path) -> Path:
    """An image folder of two classes, of which a run has learned, and its predictions."""
    root, rng = Path("my photographs"), np.random.default_rng(0)
    for number in range(40):
        path = root / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    experiment = exported(
        Path("runs/cnn-1"), "+experiment=cnn", "data=image_folder", f"data.root='{root}'", "data.size=16", "data.batch_size=8"
    )
    predictions(experiment, "test", Path("runs/cnn-1"))
    for folder in Path("data").iterdir():  # what it has learned is not needed any more
        folder.rename(f"{folder}-moved")
    return root


def stored() -> pd.DataFrame:
    return pd.read_parquet("runs/cnn-1/predictions.parquet").set_index("example")


def check_equal(table: pd.DataFrame, *, examples: int) -> None:
    """The answers equal the predictions of the test split to the bit; both have some examples."""
    known = stored()
    found = table.set_index("example")
    assert len(found) == examples
    both = [name for name in known.index if name in found.index]
    assert len(both) == (8 if examples == 40 else len(both) or 1)
    for column in ("prediction", "probability_cat", "probability_dog"):
        assert found[column].astype(known[column].dtype)[both].tolist() == known[column][both].tolist()


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_folder_is_answered_in_a_table(ending, photographs, capsys):
    assert predict.main(["run=cnn-1", f"input={photographs}", f"output=answers.{ending}"]) == 0
    assert capsys.readouterr().out == f"answers: answers.{ending} (40)\n"
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}
    table = read[ending](f"answers.{ending}")
    assert [*table.columns] == ["example", "prediction", "class", "probability_cat", "probability_dog"]
    assert table["class"].tolist() == [("cat", "dog")[number] for number in table["prediction"]]
    if ending != "jsonl":  # pandas reads JSON's numbers with an error in the last digit
        check_equal(table, examples=40)
    else:
        lines = [json.loads(line) for line in Path("answers.jsonl").read_text().splitlines()]
        check_equal(pd.DataFrame(lines), examples=40)


def test_broken_files_cost_no_other_answer(photographs, capsys):
    broken = {"empty.png": b"", "text.png": b"no image", "truncated.png": (photographs / "cat/0.png").read_bytes()[:200]}
    for name, content in broken.items():
        (photographs / "cat" / name).write_bytes(content)
    (photographs / "notes.txt").write_text("of another kind")
    try:
        assert predict.main(["run=cnn-1", f"input={photographs}", "output=some.parquet"]) == 1
        printed = capsys.readouterr()
        assert "1 file of another kind is left out" in printed.err
        assert "3 of 43 raw inputs cannot be read, and 40 have an answer" in printed.err
        for name in broken:
            assert f"cat/{name}: " in printed.err
        check_equal(pd.read_parquet("some.parquet"), examples=40)
        with pytest.raises(NotAnswered) as error:
            Predictor.load("cnn-1").predict(photographs)
        assert [one.name for one in error.value.unreadable] == [f"cat/{name}" for name in broken]
        check_equal(error.value.answers, examples=40)
    finally:
        for name in broken:
            (photographs / "cat" / name).unlink()
        (photographs / "notes.txt").unlink()


def test_many_broken_files_are_listed_in_a_file(photographs, capsys):
    names = [f"{number:02}.png" for number in range(12)]
    Path("broken").mkdir()
    for name in names:
        Path("broken", name).write_text("no image")
    assert predict.main(["run=cnn-1", "input=broken", "output=none/answers.csv"]) == 1
    printed = capsys.readouterr().err
    assert "12 of 12 raw inputs cannot be read" in printed
    assert "09.png: " in printed
    assert "10.png: " not in printed
    assert "and 2 more. All of them: none/answers.unreadable.txt" in printed
    assert [line.partition(":")[0] for line in Path("none/answers.unreadable.txt").read_text().splitlines()] == names
    assert pd.read_csv("none/answers.csv").empty


@pytest.mark.slow
def test_a_single_input_a_table_and_the_standard_input_are_answered(photographs, capsys, monkeypatch):
    assert predict.main(["run=runs/cnn-1", f"input={photographs}/cat/0.png"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["example"] == f"{photographs}/cat/0.png"
    assert lines["class"] in ("cat", "dog")
    chosen = stored().index[:3].tolist()
    (photographs / "chosen.csv").write_text("label,path\n" + "".join(f"?,{name}\n" for name in [*chosen, "none.png"]))
    assert predict.main(["run=cnn-1", f"input={photographs}/chosen.csv"]) == 1
    printed = capsys.readouterr()
    assert "1 of 4 raw inputs cannot be read" in printed.err
    assert "none.png: " in printed.err
    check_equal(pd.read_csv(io.StringIO(printed.out)), examples=3)
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{photographs}/{name}\n" for name in chosen)))
    assert predict.main(["run=cnn-1", "input=-"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    check_equal(table.assign(example=chosen), examples=3)


def test_bytes_arrays_and_paths_have_the_same_answer(photographs):
    name = stored().index[0]
    predictor = Predictor.load("runs/cnn-1")
    content = (photographs / name).read_bytes()
    by_path, by_bytes = predictor.predict([photographs / name]), predictor.predict([content])
    assert by_bytes.drop(columns="example").equals(by_path.drop(columns="example"))
    pixels = predictor.reader.read(content)["image"]
    np.save("pixels.npy", pixels)
    assert predictor.predict("pixels.npy").drop(columns="example").equals(by_path.drop(columns="example"))
    np.save("large.npy", np.zeros((1, 20, 24, 3), dtype=np.uint8))
    with pytest.raises(NotAnswered, match=r"row 0: expected 16x16 pixels, the size of the images .* received 20x24"):
        predictor.predict("large.npy")


@pytest.mark.slow
def test_an_explanation_is_drawn_beside_the_answers(photographs, capsys):
    settings = ["run=cnn-1", f"input={photographs}", "explanation=default"]
    assert predict.main(settings) == 2
    assert "expected output=FILE" in capsys.readouterr().err
    assert predict.main(["run=cnn-1", "input=-", "explanation=default", "output=why.csv"]) == 2
    assert "inputs read twice" in capsys.readouterr().err
    assert predict.main([*settings, "output=why.csv"]) == 0
    assert "explanations: why.figures" in capsys.readouterr().out
    with Image.open("why.figures/explanation.png") as figure:
        assert min(figure.size) > 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=cnn-2", "input=x.png"], "run=cnn-2: expected the folder of a run"),
        (["run=cnn-1", "input=x.txt"], "input=x.txt: expected a folder, or a file .png"),
        (["run=cnn-1", "input=x.png"], "input=x.png: expected a file or a folder; there is none"),
        (["run=cnn-1", "input=runs"], "input=runs: expected files .png"),
        (["run=cnn-1", "input=x.png", "output=x.xls"], "output=x.xls: expected a file .parquet, .csv, .jsonl"),
        (["run=cnn-1"], "expected input=..."),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_predicted(arguments, message, photographs, capsys):
    assert predict.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_answers_of_a_killed_prediction_are_not_half_a_file(photographs, monkeypatch):
    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("src.predictor.Predictor._answers", killed)
    assert predict.main(["run=cnn-1", f"input={photographs}", "output=half.csv"]) == 130
    assert not [*Path().glob("*half*")]


def test_pictures_of_another_size_than_those_of_arrays_are_refused(project, digits):
    exported(Path("run"), "+experiment=fnn", f"paths.prepared={digits[1].folder.parent}")
    with pytest.raises(NotAnswered, match="expected 8x8 pixels, the size of the images that were learned; received 9x8"):
        Predictor.load("run").predict([np.zeros((9, 8), dtype=np.uint8)])


@pytest.mark.cluster
def test_ragged_rows_of_text_are_raw_inputs_too(project):
    write_configuration(project / "own")
    (project / "words.csv").write_text("words\n101 102 103\n104\n111 x\n105 106 107 108 109\n112\n")
    train = ("python", "-m", "src.train", "--config-dir=own", "+experiment=tags", "trainer.max_epochs=3")
    run(project, *train, PYTHONPATH=str(ROOT))
    (folder,) = (project / "runs").glob("tags-*")
    command = ("python", "-m", "src.predict", f"run={folder.name}", "input=words.csv", "output=a.jsonl")
    done = run(project, *command, code=2, PYTHONPATH=str(ROOT))
    assert "tests.tagging.Draws (data.dataset.source)" in done.stderr
    done = run(project, *command, "trust=true", code=1, PYTHONPATH=str(ROOT))
    assert "line 4: expected numbers; received '111 x'" in done.stderr
    assert "line 6: expected the words of the training; received 112" in done.stderr
    rows = [json.loads(line) for line in (project / "a.jsonl").read_text().splitlines()]
    assert [row["example"] for row in rows] == ["line 2", "line 3", "line 5"]
    tokens = [[0, *map(int, text.split())] for text in ("1 2 3", "4", "5 6 7 8 9")]
    right = [[(b + a) % TAGS for a, b in pairwise(own)] for own in tokens]
    assert [len(row["tags"]) for row in rows] == [3, 1, 5]
    pairs = [pair for row, own in zip(rows, right, strict=True) for pair in zip(row["tags"], own, strict=True)]
    assert sum(a == b for a, b in pairs) >= 6


def test_data_without_a_reader_say_so(project, digits, monkeypatch):
    exported(Path("run"), "+experiment=fnn", f"paths.prepared={digits[1].folder.parent}")
    monkeypatch.setattr(Images, "reader", lambda self: None)
    with pytest.raises(InputError, match="expected data that are read from raw inputs; those of Images are not"):
        Predictor.load("run")
