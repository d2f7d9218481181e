"""What every model of conf/model that says how a text goes on must do."""

from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor
from torch.nn.functional import cross_entropy

from src.decoding import Sampling, generate, window_start
from tests.contracts.models import LANGUAGE, build, small

BATCH, LENGTH = 3, 9


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name == "gpt_10m" else []) for name in LANGUAGE])
def name(request) -> str:
    return request.param


@pytest.fixture
def model(name) -> Any:
    return build(name).eval()


def tokens(name: str, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, small(name)["data"]["vocabulary"], (BATCH, LENGTH), generator=generator, dtype=torch.int32)


def test_those_that_are_promised_are_there():
    assert {"gpt", "gpt_10m", "lstm_lm"} <= set(LANGUAGE)


def test_it_lies_in_the_file_of_its_name(name):
    file = small(name)["model"]["_target_"].split(".")[2]
    assert name == file or name.startswith(f"{file}_")


@torch.no_grad()
def test_an_answer_depends_on_no_later_token_and_on_no_other_example(name, model):
    x = tokens(name)
    logits = model(x)
    assert logits.shape == (BATCH, LENGTH, small(name)["data"]["vocabulary"])
    assert logits.dtype == torch.float32
    for count in (1, 4):
        assert torch.allclose(model(x[:, :count]), logits[:, :count], atol=1e-5)
    assert torch.allclose(model(x[1:2]), logits[1:2], atol=1e-5)
    changed = x.clone()
    changed[:, 0] = (x[:, 0] + 1) % 11
    assert ((model(changed) - logits).abs().amax(dim=2) > 1e-7).all(), "each answer depends on all earlier tokens"


@torch.no_grad()
def test_in_pieces_it_says_the_same(name, model):
    x = tokens(name)
    whole, state, done = model(x), None, 0
    for end in (4, 5, 6, LENGTH):
        logits, state = model.extend(x[:, done:end], state)
        assert torch.allclose(logits, whole[:, end - 1], atol=1e-5)
        done = end


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_gets_a_gradient(name, tied):
    model = instantiate({**small(name)["model"], "tied": tied})
    x = tokens(name)
    cross_entropy(model(x).flatten(0, 1), x.flatten().long()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, key
    assert len({parameter.data_ptr() for parameter in model.state_dict().values()}) == len(model.state_dict())


def test_it_learns_a_text_by_heart(name):
    model = build(name).train()
    x = tokens(name)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten().long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.1:
            break
    assert loss < 0.1
    sampling = Sampling(temperature=0)
    written = generate(model.eval().extend, x[0, :3].tolist(), count=6, context=model.context, sampling=sampling)
    assert [*written] == x[0, 3:].tolist()


@torch.no_grad()
def test_it_can_be_exported_for_texts_of_any_length(name, model):
    free = torch.export.Dim.AUTO
    program = torch.export.export(model, (tokens(name)[:, :7].clone(),), dynamic_shapes=[{0: free, 1: free}]).module()
    for x in (tokens(name, seed=1)[:1, :5], tokens(name, seed=2)):
        assert torch.allclose(program(x), model(x), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("sampling", [Sampling(temperature=0, excluded=[0]), Sampling(top_k=5, repetition_penalty=1.3, seed=4)])
def test_with_and_without_the_cache_it_writes_the_same(model, sampling):
    settings = {"count": 30, "context": model.context, "sampling": sampling}
    cached, whole = ([*generate(model.extend, [1, 2, 3], cached=one, **settings)] for one in (True, False))
    assert cached == whole
    assert len(cached) == 30


def test_a_full_context_begins_again_with_its_second_half():
    assert [window_start(total, 8) for total in (1, 8, 9, 12, 13, 16, 17)] == [0, 0, 4, 4, 8, 8, 12]
    assert window_start(100, None) == 0
    assert [window_start(total, 1) for total in (1, 2, 3)] == [0, 1, 2]
