"""kill -9 at random moments, and the same command again: `python -m tests.chaos.kills 50`, with any override after it.

With `tracking.uri=http://127.0.0.1:9`, where no server listens, records stay in the run folders, and it takes half the time.

The moments are uniform from a process's start to its exit. Where that leaves a phase with fewer than its share, a kill waits
for the phase and then for a random part of the time that it takes; there are a few more kills then than were asked for.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests import chaos
from tests.chaos import observed

SHARE = 10  # of so many kills, one at least hits each phase


@dataclass
class Kills:
    """The results of several kills.

    Args:
        missed: processes that ended before their kill came; they do not count.
        different: a line for each run that did not end bit-identical.
    """

    hit: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    different: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        count = self.hit.total()
        where = ", ".join(f"{number} in {what}" for what, number in sorted(self.hit.items()))
        lines = [f"{count - len(self.different)} of {count} kills end bit-identical ({where}; {self.missed} came too late)"]
        return "\n  ".join([*lines, *self.different])


def report(results: Kills) -> int:
    """Prints the results of kills. Returns the exit code."""
    print(results)
    return int(bool(results.different))


def kills(folder: Path, count: int, *, arguments: Sequence[str], store: bool, seed: int = 0) -> Kills:
    """Kills `count` runs, each once, and lets each finish.

    Args:
        folder: of the runs, one in a folder of its own.
        arguments: what is trained.
        store: whether the record must be whole in MLflow too; every other kill hits the uploader as well.
    """
    generator = random.Random(seed)
    uri = f"sqlite:///{folder}/mlflow.db"
    arguments = [*arguments, f"tracking.uri={uri}" if store else chaos.NOWHERE]
    chaos.train(folder / "first", *arguments)  # the first one imports what no later one does
    began = time.monotonic()
    lengths = _watched(chaos.start(folder / "whole", *arguments, *_quick(store)), folder / "whole" / observed.PHASE)
    whole = time.monotonic() - began
    expected = chaos.outcome(chaos.run(folder / "whole"))
    results, number, share = Kills(), 0, count // SHARE
    while results.hit.total() < count or _lacking(results, share):
        number += 1
        subfolder = folder / f"kill-{number}"
        process = chaos.start(subfolder, *arguments, *_quick(store))
        lacking = _lacking(results, share)
        if count - results.hit.total() <= 2 * sum(lacking.values()) and lacking:  # twice, for some will hit the phase after it
            phase = observed.PHASES.index(generator.choice([*lacking]))
            skipped = generator.randrange(4) if phase == observed.WRITING else 0
            for _ in range(skipped):  # not only the first checkpoint
                _wait(process, subfolder, phase)
                _wait(process, subfolder, phase, other=True)
            _wait(process, subfolder, phase)
            time.sleep(generator.uniform(0, lengths[phase] / 2))
        else:
            with suppress(subprocess.TimeoutExpired):
                process.wait(generator.uniform(0, whole))
        chaos.kill(process, uploader=store and number % 2 == 0)
        if process.returncode != -signal.SIGKILL:
            results.missed += 1
            continue
        hit = observed.PHASES[observed.at(subfolder / observed.PHASE)]
        results.hit[hit] += 1
        try:
            run = chaos.train(subfolder, *arguments)
            assert chaos.outcome(run) == expected, f"{chaos.outcome(run)}, expected {expected}"
            if store:
                chaos.check_store(subfolder, uri)
        except Exception as error:  # any error is the result of this kill
            results.different.append(f"{subfolder}, killed in {hit}: {error}")
        print(f"\r{results.hit.total()} of {count}, last in {hit}\033[K", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def _lacking(results: Kills, share: int) -> dict[str, int]:
    """How many kills each phase lacks of its share."""
    return {phase: share - results.hit[phase] for phase in observed.PHASES if results.hit[phase] < share}


def _quick(store: bool) -> list[str]:
    """For a process that is to be killed: it waits for the uploader for a little of its life."""
    return ["tracking.wait=0.5"] if store else []


def _watched(process: subprocess.Popen[str], path: Path) -> list[float]:
    """Seconds of each phase of an undisturbed run; of one checkpoint, where there are several."""
    spans: list[list[float]] = [[] for _ in observed.PHASES]
    now, since = observed.START, time.monotonic()
    while process.poll() is None:
        if observed.at(path) != now:
            spans[now].append(time.monotonic() - since)
            now, since = observed.at(path), time.monotonic()
        time.sleep(0.0005)
    spans[now].append(time.monotonic() - since)
    return [max(span, default=0.0) for span in spans]


def _wait(process: subprocess.Popen[str], folder: Path, phase: int, *, other: bool = False) -> None:
    while process.poll() is None and (observed.at(folder / observed.PHASE) == phase) == other:
        time.sleep(0.0002)


if __name__ == "__main__":
    count, overrides = int(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        results = kills(Path(name), count, arguments=[*chaos.NET, *overrides], store=chaos.NOWHERE not in overrides)
        sys.exit(report(results))
