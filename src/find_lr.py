"""A learning rate to begin with: `python -m src.find_lr +experiment=cnn`, with any Hydra override.

It trains once with a rate that grows from step to step, and leaves a figure and a table, but no run. The training is that of
`src.train`, without what happens at the end of an epoch: validation, averages of weights, and callbacks that are no part of an
optimizer step, such as early stopping.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from src.config import command_line, composition, pairing
from src.distributed import processes
from src.errors import InputError
from src.runs import identity, names

GROUP = "+finder=default"


def find(config: DictConfig) -> None:
    """Tries the rates of the configuration's `finder`; prints the proposals and the folder of the figure."""
    _check(config)
    pairing.check(config)
    from src.config import assembly
    from src.evaluation import rates
    from src.evaluation.plotting import write
    from src.runs.files import write_atomic

    settings = composition.container(config.pop("finder"))
    root = names.check_folder("finder.folder", settings.pop("folder"))
    search = rates.Search(**settings)
    prepared = assembly.prepare(config)
    config = assembly.complete(config, prepared)
    _grow(config, **settings)
    content = composition.container(config)
    run = identity.run_id(content, prepared.card["content"])
    folder = root / f"{content['name']}-{identity.digest({'run': run, **settings})[:8]}"
    experiment = assembly.build(config, prepared)
    if not experiment.learner.loss_decreases:
        raise InputError(
            f"find_lr: expected a task whose loss falls while it learns; that of {content['task']['_target_']} does not. "
            "Compare the results of several rates: `python -m src.train -m ... optimizer.lr=1e-4,1e-3`."
        )
    experiment.learner.check(experiment.data)
    with TemporaryDirectory() as nowhere:
        experiment.learner.fit(experiment.data, folder=Path(nowhere), sink=search)
    proposals = search.proposals()
    write_atomic(folder / "rates.csv", search.table().to_csv(index=False).encode())
    write(rates.curve(search), folder / "rates.png")
    print(command_line.table({**{name: f"{rate:.2g}" for name, rate in proposals.items()}, "the search ended": search.end}))
    print(f"rates: {folder}")


def main(arguments: Sequence[str]) -> None:
    """Searches as a command line states, with the group of the search's own settings added to it."""
    resumed = any(argument.startswith("resume=") for argument in arguments)  # it takes no group, and is refused
    overrides = [index for index, argument in enumerate(arguments) if "=" in argument and not argument.startswith("-")]
    first = overrides[0] if overrides else 0  # Hydra's flags stand before all overrides or behind them
    arguments = arguments if resumed else [*arguments[:first], GROUP, *arguments[first:]]
    command_line.main(find, arguments, group="finder")


def _check(config: DictConfig) -> None:
    """Refuses a configuration without a learning rate, and one that needs more than this process."""
    if "finder" not in config:
        raise InputError("find_lr: expected a training from the start; received resume=... Leave it out.")
    if config.optimizer is None or "lr" not in config.optimizer:
        raise InputError(
            f"find_lr: expected an optimizer with a learning rate (optimizer.lr); {config.name} has none. "
            "Choose a network, such as +experiment=cnn."
        )
    if config.get("cluster") is not None:
        raise InputError("find_lr: expected cluster=none, because the search runs where it is started. Leave the cluster out.")
    if processes.wanted(config.trainer.get("devices", 1), config.trainer.get("num_nodes", 1)) > 1:
        raise InputError(
            "find_lr: expected trainer=default, which is one process. For several, multiply data.batch_size by their number: "
            "their batch is as large as all of theirs together."
        )


def _grow(config: DictConfig, *, steps: int, first: float, last: float, **_: Any) -> None:
    """Changes the configuration to a training whose rate grows and which nothing ends early."""
    config.optimizer.lr = first
    config.scheduler = {"_target_": "src.optimization.schedule.ExponentialGrowth", "times": last / first}
    config.averaging, config.divergence = None, {"_target_": "src.optimization.divergence.Ignore"}
    each_step = {"log_every_n_steps": 1, "steps_per_call": 1}  # the search looks at each loss, and may end after each step
    config.trainer.update({"max_epochs": None, "max_steps": steps, "limit_val_batches": 0, **each_step})


if __name__ == "__main__":
    main(sys.argv[1:])
