"""What a long preparation says of itself."""

import io
import sys

from src.data import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_line_comes_now_and_then(capsys):
    with progress.shown(2000, what="files", interval=0) as update:
        update(500)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("data: 500 of 2,000 files, ")
    assert line.endswith(" s left")
    with progress.shown(2000, what="files") as update:
        update(500)
    assert not capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown(2000, what="files") as update:
        update(2000)
        shown = sys.stderr.getvalue()
    assert "0/2000" in shown
    assert "files/s" in shown


def test_a_few_items_get_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    for total, seen in ((199, False), (200, True)):
        with progress.shown(total, what="items", least=progress.MANY) as update:
            update(1)
            assert bool(sys.stderr.getvalue()) == seen
