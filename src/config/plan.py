"""What a command trains, and in which folder. Nothing that trains is built or imported for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from omegaconf import DictConfig, OmegaConf

from src.config import composition, pairing
from src.config.summary import summary
from src.errors import InputError
from src.runs import changes, identity
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run, choose
from src.runs.identity import Identity
from src.runs.masking import mask

if TYPE_CHECKING:  # assembly is imported only for a configuration that composes
    from src.data.store import Prepared


@dataclass(frozen=True)
class Plan:
    """A run to be trained, or one that is finished.

    Args:
        config: complete.
        start: the run that is trained further, None where the weights are fresh.
    """

    config: DictConfig
    prepared: "Prepared"
    identity: Identity
    start: Path | None
    run: Run

    @classmethod
    def of(cls, config: DictConfig) -> Self:
        """The plan for a composed configuration; prepares the data where they are not prepared yet.

        Raises:
            InputError: the configuration is not complete, or the run to be trained further has no checkpoint.
        """
        from src.config import assembly

        config = config.copy()
        pairing.check(config)
        config.pop("cluster", None)  # where a run is trained does not belong to it
        prepared = assembly.prepare(config)
        config = assembly.complete(config, prepared)
        content = composition.container(config)
        start = Path(content["resume"]) if content["resume"] else None
        if start and not (start / "last.ckpt").is_file():
            raise InputError(
                f"resume={start}: expected a run with a last.ckpt; there is none. Repeat its own command to continue it."
            )
        own = identity.of(content, prepared.card["content"], start=start.name if start else None)
        run = choose(Path(content["paths"]["runs"]), content["name"], own.digest, force=content["force"])
        return cls(config, prepared, own, start, run)

    @property
    def content(self) -> dict[str, Any]:
        return composition.container(self.config)

    @property
    def fitted(self) -> bool:
        return self.run.fitted and (self.run.recorded or self.run.packaged)  # else its numbers may not be in the record

    @property
    def other_evaluation(self) -> bool:
        """Whether the run was evaluated with other settings than these, which are no part of its identity."""
        before = read_json(self.run.evaluation_settings)
        return any(before.get(key) != self.content.get(key) for key in identity.EVALUATION)

    def finished(self, *, test: bool) -> bool:
        """Whether nothing is left to do. If so, the command says it, and sends what the store still lacks of the record.

        Args:
            test: whether an evaluation on the test part is wanted.
        """
        if not (self.run.fitted and self.run.recorded) or (test and (not self.run.evaluated or self.other_evaluation)):
            return False
        print(f"This run exists; nothing is trained. force=true trains it again beside it.\n{summary(self.run)}")
        from src.tracking import deferred_upload

        deferred_upload.resume(self.run, self.content["tracking"]["uri"])
        return True

    def begin(self) -> None:
        """Writes the configuration and the identity into the run folder; says how a new run differs from the latest one."""
        if not self.run.config.is_file() and not self.run.last.is_file():
            line = changes.since_latest(self.run, self.content["name"], self.identity)
            if line:
                print(line)
        write_atomic(self.run.config, mask(OmegaConf.to_yaml(self.config)).encode())
        write_json(self.run.data, self.prepared.card)
        if not self.run.identity.is_file():
            write_json(self.run.identity, changes.content(self.identity))
