"""README.md and docs/: links resolve, and their commands name modules, targets and options that exist."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from src.config import composition
from src.errors import InputError
from tests.repository import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURED = {"src.train": [], "src.prepare": [], "src.doctor": [], "src.find_lr": ["+finder=default"], "pipelines.sweep": []}
OF_A_RUN = ("run=", "split=", "resume=")  # arguments that name a run or a split, not an option


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request) -> Path:
    return request.param


def blocks(page: Path, language: str = "") -> list[str]:
    """The fenced blocks of a page that state this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[tuple[list[str], str]]:
    """The words of each command and the output below it; in a block with prompts, a line without one is output."""
    for block in blocks(page):
        text = block.replace("\\\n", " ")
        shown = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE) or [(line, "") for line in text.splitlines()]
        yield from ((words, output) for line, output in shown if (words := shlex.split(line, comments=True)))
    for row in re.findall(r"^\| `([^`]*\+experiment=[^`]*)` \|", page.read_text(), re.MULTILINE):
        yield ["python", "-m", "src.train", *row.split()], ""


def overrides(words: list[str]) -> list[str] | None:
    """What a command states of the configuration, a grid by its first values; None for any other command."""
    if "-m" not in words:
        return None
    module, *arguments = words[words.index("-m") + 1 :]
    settings = [one for one in arguments if "=" in one and not one.startswith(OF_A_RUN)]
    if module == "src.evaluate":
        return settings
    if module not in CONFIGURED:
        return None
    parsed = composition.parse([*CONFIGURED[module], *settings])
    return [
        f"{str(one.input_line).partition('=')[0]}={next(one.sweep_string_iterator())}"
        if one.is_sweep_override()
        else one.input_line
        for one in parsed
    ]


@cache
def refusal(*settings: str) -> str:
    """What the user reads where the settings do not compose; nothing where they do."""
    try:
        composition.compose(settings)
    except InputError as error:
        return f"error: {error}"
    return ""


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_readme_links_to_every_page():
    text = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in text] == []


def test_relative_links_resolve(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in slugs(target), link


def test_modules_and_targets_of_commands_exist(page):
    text = page.read_text()
    for module in re.findall(r"-m ((?:src|pipelines|benchmarks|tests)\.\w+(?:\.\w+)*)", text):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in [words[1] for words, _ in commands(page) if words[0] == "make"]:
        assert target in targets
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert target in targets


def test_options_of_commands_exist(page):
    for words, output in commands(page):
        if (settings := overrides(words)) is not None:
            assert refusal(*settings) in output  # a page may show what a mistyped option leads to


def test_yaml_is_valid(page):
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block)
