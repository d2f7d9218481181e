"""What one example costs, beside what a reader counts by hand: two operations for each product that is added up."""

from itertools import pairwise

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from src.config import assembly, composition


def flops(digits, *overrides: str) -> int | None:
    config = assembly.complete(composition.compose(["trainer.accelerator=cpu", *overrides]), digits[1])
    experiment = assembly.build(config, digits[1])
    return experiment.learner.check(experiment.data).flops


def layers(*sizes: int) -> int:
    return 2 * sum(before * after for before, after in pairwise(sizes))


def test_attention_counts_too(digits):
    tokens, width, heads, hidden, depth, patch = 5, 16, 2, 32, 3, 4  # four patches of an image of 8x8, and the class token
    chosen = {"patch": patch, "depth": depth, "width": width, "heads": heads, "hidden": hidden}
    actual = flops(digits, "model=vit_tiny", *(f"model.{name}={value}" for name, value in chosen.items()))
    projections = tokens * (layers(width, 3 * width) + layers(width, width) + layers(width, hidden, width))
    products = 2 * 2 * heads * tokens * tokens * (width // heads)
    patches = 4 * layers(patch * patch, width)
    assert actual == patches + depth * (projections + products) + layers(width, 10)


@pytest.mark.parametrize("experiment", ["vae", "denoising_autoencoder", "autoencoder"])
def test_an_autoencoder_is_one_forward_pass(digits, experiment):
    actual = flops(digits, f"+experiment={experiment}", "model.hidden=[32]", "model.latent_size=4")
    encoded = 8 if experiment == "vae" else 4  # the mean and the spread of each number of a latent
    assert actual == layers(64, 32, encoded) + layers(4, 32, 64)


def test_an_adversarial_pair_generates_an_example_and_discriminates_it(digits):
    config = assembly.complete(composition.compose(["+experiment=dcgan", "trainer.accelerator=cpu"]), digits[1])
    experiment = assembly.build(config, digits[1])
    pair = experiment.learner.task.model.eval()
    with FlopCounterMode(display=False) as counter:
        pair.discriminator(pair.generator(torch.zeros(1, pair.latent_size)))
    assert experiment.learner.check(experiment.data).flops == counter.get_total_flops() > 0
