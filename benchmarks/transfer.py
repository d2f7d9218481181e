"""What transferred weights are worth: `python -m benchmarks.transfer`, or one of its studies by name.

Each study trains once with other data or without labels, then on few labels, from scratch and with the weights of the first
training. All is done for each seed, which draws the fresh weights and the labels. Runs that exist are not trained again.
DATA_CACHE names a folder that has Fashion-MNIST.
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from src.config import command_line, composition
from src.errors import InputError
from src.runs.files import read_json
from src.runs.folder import Run
from src.train import train

SEEDS = range(5)
SMALL = ("model.width=16",)
SIZES = ("model.channels=[32,64]", "model.hidden=[]", "model.latent_size=128")


@dataclass(frozen=True)
class Study:
    """Two trainings in a row, and the second one's accuracy without the first.

    Args:
        before, after: arguments of the two, without the seed.
        ways: of the second one with the first one's weights, each by its further arguments.
    """

    before: Sequence[str]
    after: Sequence[str]
    ways: Sequence[Sequence[str]] = ((),)

    def measure(self) -> None:
        """Prints the test accuracies, and by how much each way is better than from scratch, seed by seed."""
        accuracies: dict[str, list[float]] = {}
        for seed in SEEDS:
            first = _trained([*self.before, f"seed={seed}"])
            accuracies.setdefault("from scratch", []).append(_accuracy(_trained([*self.after, f"seed={seed}"])))
            for way in self.ways:
                run = _trained([*self.after, f"pretrained.weights={first.folder.name}", *way, f"seed={seed}"])
                accuracies.setdefault(" ".join(["transferred", *way]), []).append(_accuracy(run))
        scratch = accuracies["from scratch"]
        rows = {}
        for name, values in accuracies.items():
            gains = [value - other for value, other in zip(values, scratch, strict=True)]
            rows[name] = f"{_mean_and_range(values)}" + (f", gain {_mean_and_range(gains)}" if values is not scratch else "")
        print(command_line.table(rows, title=f"test accuracy of {self.after[0]}: mean (range) of {len(SEEDS)} seeds"))


STUDIES = {
    "classes": Study(
        ["+experiment=eight_classes", *SMALL],
        ["+experiment=transfer", *SMALL],
        ways=((), ("callbacks=freeze", "callbacks.freeze.parts=[features]")),
    ),
    "views": Study(["+experiment=contrastive", "data=fashion_mnist", *SIZES], ["+experiment=few_labels", *SIZES]),
    "reconstructions": Study(
        ["+experiment=autoencoder", "data=fashion_mnist", "trainer.max_epochs=4", *SIZES],
        ["+experiment=few_labels", *SIZES],
    ),
}


def _trained(arguments: Sequence[str]) -> Run:
    print(f"$ python -m src.train {' '.join(arguments)}", flush=True)
    return train(composition.compose(arguments))


def _accuracy(run: Run) -> float:
    return float(read_json(run.metrics)["test/accuracy"])


def _mean_and_range(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def main(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in STUDIES]
    if unknown:
        raise InputError(f"{unknown[0]}: expected one of {', '.join(STUDIES)}, or nothing for all of them.")
    for name in names or STUDIES:
        STUDIES[name].measure()


if __name__ == "__main__":
    sys.exit(command_line.guard(lambda: main(sys.argv[1:])))
