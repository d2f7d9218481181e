"""A small text for language models: sentences of a few words, with letters of several bytes among them."""

from pathlib import Path

import numpy as np

WORDS = ["the", "a", "cat", "dog", "crème", "naïve", "sees", "日本", "likes", "£5", "runs"]
TINY = (
    *("data=text_stream", "task=language_modelling", "data.dataset.split.test=0", "data.tokenizer.kind=characters"),
    *("data.context=8", "data.batch_size=4"),
)


def text(sentences: int, *, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    return "".join(" ".join(rng.choice(WORDS, rng.integers(2, 6))) + ".\n" for _ in range(sentences))


def write(path: Path, sentences: int = 60, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(sentences, seed=seed), encoding="utf-8")
    return path
