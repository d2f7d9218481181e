"""Tokens of texts: each kind of tokenizer, and what is refused."""

import json

import pytest

from src.data.tokenizer import PADDING, SPECIAL, UNKNOWN, Settings, Tokenizer
from src.errors import InputError

TEXTS = ["It's a film , and a GOOD one .", "a film\nwithout an end", "Ärger über 5 $ und 日本", "film"]


def fit(kind: str, **settings) -> Tokenizer:
    return Tokenizer.fit(TEXTS, {"kind": kind, "size": 500, "min_count": 1, "lowercase": True, **settings})  # type: ignore[typeddict-item]


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.tokens(tokenizer.encode([text])[0].values.tolist())


def test_words_are_runs_of_letters_and_of_punctuation():
    tokenizer = fit("words")
    assert pieces(tokenizer, "It's GOOD -- 5 films") == ["it", "'", "s", "good", UNKNOWN, "5", UNKNOWN]
    assert tokenizer.decode(tokenizer.encode(["A good , FILM"])[0].values.tolist()) == "a good , film"
    assert tokenizer.padding == 0
    assert tokenizer.tokens(range(4)) == [*SPECIAL]
    assert SPECIAL[0] == PADDING


def test_rare_words_and_those_beyond_the_size_are_unknown():
    assert fit("words", min_count=2).size == len(SPECIAL) + 2  # a, film
    few = fit("words", size=len(SPECIAL) + 2)
    assert pieces(few, "a film end") == ["a", "film", UNKNOWN]
    assert UNKNOWN in pieces(fit("words", lowercase=False), "Film")


def test_characters_and_byte_pairs_give_the_text_back():
    characters, pairs = fit("characters", lowercase=False), fit("bpe", lowercase=False)
    for tokenizer in (characters, pairs):
        for text in TEXTS:
            assert tokenizer.decode(tokenizer.encode([text])[0].values.tolist()) == text
    assert pieces(characters, "a\nq") == ["a", "\n", UNKNOWN]
    assert pairs.decode(pairs.encode(["snow ☃ 🤗"])[0].values.tolist()) == "snow ☃ 🤗"  # of no known letter
    assert len(pieces(pairs, "a film")) < len("a film")


@pytest.mark.parametrize("kind", ["words", "characters", "bpe"])
def test_equal_texts_give_an_equal_tokenizer(kind):
    one = fit(kind)
    assert fit(kind).content == one.content
    assert Tokenizer(one.content).encode(TEXTS)[0].values.tolist() == one.encode(TEXTS)[0].values.tolist()


def test_long_texts_are_cut_and_texts_without_a_token_are_unknown():
    tokens, cut = fit("words").encode(["a film without an end", "film", " "], max_tokens=3)
    assert (tokens.lengths.tolist(), cut) == ([3, 1, 1], 1)
    assert tokens.values.dtype.name == "int32"
    assert tokens[2].tolist() == [SPECIAL.index(UNKNOWN)]


def test_a_pretrained_one_comes_from_its_file(tmp_path):
    (tmp_path / "a folder").mkdir()
    own = fit("bpe")
    (tmp_path / "a folder/tokenizer.json").write_text(own.content)
    settings: Settings = {"kind": "pretrained", "size": 1, "file": str(tmp_path / "a folder")}
    assert Tokenizer.fit([], settings).encode(TEXTS)[0].values.tolist() == own.encode(TEXTS)[0].values.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "expected tokenizer.json of a pretrained tokenizer"), ("{}", "expected a file of the library tokenizers")],
)
def test_another_file_is_refused(content, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    if content:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        Tokenizer.fit([], {"kind": "pretrained", "size": 1, "file": str(path)})
    with pytest.raises(InputError, match=r"data.tokenizer.file=None: expected tokenizer.json"):
        Tokenizer.fit([], {"kind": "pretrained", "size": 1, "file": None})


def test_a_vocabulary_of_one_is_refused():
    with pytest.raises(InputError, match="expected texts with two different tokens at least; received 1"):
        Tokenizer.fit(["film film", "Film"], {"kind": "words", "size": 100, "min_count": 1, "lowercase": True})


def test_its_content_is_plain_json():
    assert json.loads(fit("words").content)["model"]["vocab"]["film"] >= len(SPECIAL)
