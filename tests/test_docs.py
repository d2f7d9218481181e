"""README.md and docs/: links resolve, and every module, file, target and option that they name exists."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

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
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for stated, text in fenced if stated == language]


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
    """The error message of settings that do not compose; an empty string if they do."""
    try:
        composition.compose(settings)
    except InputError as error:
        return f"error: {error}"
    return ""


@cache
def keys() -> set[str]:
    """Every key that some file of conf/ states, with all that it lies in."""
    known: set[str] = set()
    for path in (ROOT / "conf").rglob("*.yaml"):
        text = path.read_text()
        group = path.parent.relative_to(ROOT / "conf").parts if "@package _global_" not in text else ()
        nodes: list[tuple[tuple[str, ...], Any]] = [(group, yaml.safe_load(text))]
        while nodes:
            path_of_keys, node = nodes.pop()
            known.add(".".join(path_of_keys))
            if isinstance(node, dict):
                nodes += [((*path_of_keys, str(key)), inner) for key, inner in node.items()]
    return known


def resolves(name: str) -> bool:
    """Whether a dotted path is a module of the repository, or a name that stands in one."""
    path = ROOT.joinpath(*name.split("."))
    inside = path.parent.with_suffix(".py")
    return path.is_dir() or path.with_suffix(".py").is_file() or (inside.is_file() and path.name in inside.read_text())


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


def test_what_is_named_in_the_repository_exists(page):
    text = page.read_text()
    for name in re.findall(r"(?<![/\w])(?:src|pipelines|benchmarks|tests)(?:\.\w+)+", text):
        assert resolves(name), name
    for path in re.findall(r"`((?:src|pipelines|benchmarks|tests)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path


def test_targets_of_make_exist(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [words[1] for words, _ in commands(page) if words[0] == "make"]
    named += re.findall(r"`make ([\w-]+)`", page.read_text())
    assert [target for target in named if target not in targets] == []


def test_keys_in_the_text_exist(page):
    known = keys()
    groups = {key.partition(".")[0] for key in known}
    named = re.findall(r"`\"?\+?((\w+)\.[\w.]*\w)", page.read_text())
    assert [key for key, group in named if group in groups and key not in known] == []


@pytest.mark.slow
def test_options_of_commands_exist(page):
    for words, output in commands(page):
        if (settings := overrides(words)) is not None:
            assert refusal(*settings) in output  # a page may show what a mistyped option leads to


def test_the_floors_are_those_of_the_import_rules():
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(rule["layers"] for rule in rules if rule.get("containers") == ["src"])
    assert any(block.splitlines() == floors for block in blocks(ROOT / "docs" / "design.md", "text"))


def test_yaml_is_valid(page):
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block)
