"""Small data sets of texts for tests: words of a class among words of none."""

from pathlib import Path
from typing import Any

import numpy as np

from src.data import store
from src.data.sources.text_table import TextTable
from src.data.store import Prepared
from src.data.texts import Texts
from src.data.tokenizer import Settings

WORDS = ["the", "a", "of", "film", "it", "is", "and", "this", "that", "was"]
OWN = {"negative": ["dull", "bad", "flat"], "neutral": ["plain", "usual", "even"], "positive": ["great", "fine", "moving"]}
TOKENIZER: Settings = {"kind": "words", "size": 1000, "min_count": 1, "lowercase": True}


def write(path: Path, count: int = 90, *, classes: int = 3) -> Path:
    """A table of texts of 1 to 12 words, with the columns text, label and part."""
    rng = np.random.default_rng(0)
    lines = ["text,label,part"]
    for number in range(count):
        label = list(OWN)[:classes][number % classes]
        words = [*rng.choice(WORDS, rng.integers(0, 12)), rng.choice(OWN[label])]
        rng.shuffle(words)
        lines.append(f"{' '.join(words)} {number},{label},{('train', 'train', 'train', 'val', 'test')[number // classes % 5]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def prepare(folder: Path, table: Path, **settings: Any) -> Prepared:
    arguments: dict[str, Any] = {
        "path": str(table),
        "others": {},
        "encoding": None,
        "text": "text",
        "columns": {"target": "label", "split": "part"},
        "gives": "class",
        "tokenizer": TOKENIZER,
        "max_tokens": None,
    }
    source = TextTable(**{**arguments, **settings})
    return store.prepare(folder, source, name="text", split={"val": 0.2, "test": 0.2, "seed": 0}, max_duplicates=1.0)


def data(prepared: Prepared, **settings: Any) -> Texts:
    facts = {key: value for key, value in prepared.facts.items() if key != "shape" and not key.startswith("target_")}
    return Texts(prepared=prepared, **{"batch_size": 8, **facts, **settings})
