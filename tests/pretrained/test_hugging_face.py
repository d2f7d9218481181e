"""Networks of transformers: built from config.json, with the weights of a folder, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from src import pretrained_folders
from src.config import assembly, composition, restoring
from src.data.tokenizer import Tokenizer
from src.errors import InputError
from src.experiment import Experiment
from src.predictor import Predictor
from src.runs.files import write_json
from tests import texts

ARCHITECTURE = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 24,
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as save_pretrained writes it, with a tokenizer, and a table of texts beside it."""
    from transformers import AutoConfig, AutoModel

    folder = tmp_path_factory.mktemp("a folder") / "tiny"
    torch.manual_seed(5)
    AutoModel.from_config(AutoConfig.for_model(**ARCHITECTURE)).save_pretrained(folder)
    words = [" ".join([*texts.WORDS, *(word for own in texts.OWN.values() for word in own)])]
    tokenizer = Tokenizer.fit(words, texts.TOKENIZER)
    (folder / "tokenizer.json").write_text(tokenizer.content)
    texts.write(folder.parent / "texts.csv")
    return folder


def overrides(folder: Path, *more: str) -> list[str]:
    data = ("data=text", f"data.path={folder.parent}/texts.csv", "data.target=label", "data.columns.split=part")
    prepared = f"paths.prepared={folder.parent}/prepared"
    return [
        "+experiment=minilm",
        *data,
        prepared,
        f"model.name={folder}",
        "explanation=none",
        "scheduler=constant",
        "data.max_tokens=20",
        *more,
    ]


def built(folder: Path, *more: str) -> Experiment:
    config = composition.compose(overrides(folder, *more))
    prepared = assembly.prepare(config)
    return assembly.build(assembly.complete(config, prepared), prepared)


def test_a_network_begins_with_the_weights_of_the_folder(pretrained):
    experiment = built(pretrained)
    state, stored = experiment.learner.network.state_dict(), load_file(pretrained / "model.safetensors")
    assert len(stored) > 10
    assert all(torch.equal(state[f"network.bert.{name}"], tensor) for name, tensor in stored.items())
    assert state["network.classifier.weight"].shape == (3, 8)
    assert experiment.config["model"]["architecture"]["hidden_size"] == 8
    assert len(experiment.config["pretrained"]["content"]) == 64


def test_a_run_needs_the_folder_no_more(pretrained, tmp_path):
    """Its configuration has the architecture, and its card the tokenizer."""
    experiment, run = built(pretrained), tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(dict(experiment.config))))
    write_json(run / "data_card.json", experiment.prepared.card)
    experiment.learner.export(run)
    moved = pretrained.rename(pretrained.with_name("moved"))
    try:
        assert restoring.for_predictions(run).config["model"]["architecture"]["model_type"] == "bert"
        answers = Predictor.load(run).predict(["a great film", "dull"])
        assert answers.filter(like="probability").sum(axis=1).tolist() == pytest.approx([1, 1])
    finally:
        moved.rename(pretrained)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model.name=nowhere"], "nowhere: expected tokenizer.json of a pretrained tokenizer"),
        (["model.name=package:no_such/model"], "expected an installed package no_such"),
        (["pretrained.weights=hf:nowhere"], "pretrained.weights=nowhere: expected a folder with config.json"),
        (["model.architecture.vocab_size=9"], "expected tokens of the tokenizer of at most 9"),
        (
            ["model.architecture.max_position_embeddings=3"],
            "expected tokens of a text of at most 3 .*; received 20. Choose another model, or data.max_tokens",
        ),
        (["model.architecture.model_type=vit"], "expected an architecture that classifies texts"),
    ],
)
def test_a_wrong_folder_or_architecture_is_refused(more, message, pretrained):
    if more[0].startswith("model.architecture"):
        more = [f"model.architecture={json.dumps(ARCHITECTURE).replace(' ', '').replace(chr(34), '')}", *more]
    with pytest.raises(InputError, match=message):
        built(pretrained, *more)


def test_a_damaged_description_is_refused(tmp_path):
    for content, message in (("{", "expected JSON in config.json"), ('{"a": 1}', "expected config.json with a model_type")):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(InputError, match=message):
            pretrained_folders.architecture(str(tmp_path))


def test_a_folder_without_weights_is_refused(pretrained, tmp_path):
    (tmp_path / "config.json").write_text((pretrained / "config.json").read_text())
    with pytest.raises(InputError, match=r"expected model\.safetensors in the folder; there is none"):
        built(pretrained, f"pretrained.weights=hf:{tmp_path}")


def test_the_hub_is_asked_only_by_its_name(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"model.name=hub:someone/something: .* it cannot be downloaded: .* name its folder"):
        pretrained_folders.architecture("hub:someone/something")
