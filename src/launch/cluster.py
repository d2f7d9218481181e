"""Clusters that train runs as jobs: what one does, and how it agrees with the trainer."""

from abc import ABC, abstractmethod

from omegaconf import DictConfig, OmegaConf

from src.config import assembly
from src.config.instantiation import make
from src.errors import InputError
from src.runs import locks
from src.runs.folder import Run

EQUAL = {"nodes": "num_nodes", "processes_per_node": "devices"}  # keys of the cluster, and of the trainer


class Cluster(ABC):
    """Submits runs as jobs."""

    @abstractmethod
    def check(self) -> None:
        """Refuses a machine that cannot submit jobs.

        Raises:
            InputError: it cannot.
        """

    @abstractmethod
    def submit(self, run: Run, config: DictConfig, *, test: bool, timeout: float = locks.TIMEOUT) -> None:
        """Submits a job that trains the run, unless there is one already.

        Args:
            config: complete.
            test: whether the run is evaluated on the test split too.
            timeout: seconds to wait for another command that holds the run.

        Raises:
            InUse: there is a job for the run, and it is not waited for.
        """


def of(config: DictConfig) -> Cluster:
    """The cluster that a configuration names."""
    return make(assembly.plain(config, "cluster"), "cluster")


def agreed(config: DictConfig) -> DictConfig:
    """The configuration with as many nodes and processes for the cluster as for the trainer, whichever states them."""
    config = config.copy()
    for own in EQUAL:
        if config.cluster[own] is None:
            del config.cluster[own]  # then conf/trainer/ddp.yaml, which reads it, has its own default
    for own, other in EQUAL.items():
        wanted = OmegaConf.select(config, f"trainer.{other}", default=1)
        stated = config.cluster.get(own, wanted)
        if stated != wanted:
            raise InputError(
                f"cluster.{own}={stated}: expected {wanted}, because trainer.{other} is {wanted}. State one of the two; "
                "several processes need trainer=ddp."
            )
        config.cluster[own] = wanted
        if other in config.trainer:
            config.trainer[other] = wanted
    if config.trainer.get("precision") == "auto":
        raise InputError(
            "trainer.precision=auto: expected a stated precision, because it decides the result and another machine trains. "
            "State it: trainer.precision=bf16-mixed."
        )
    return config
