"""What would stop a training on this machine, and the remedy: `python -m src.doctor`, with the overrides of a run."""

from omegaconf import DictConfig, OmegaConf

from src.config import command_line, composition
from src.errors import RunFailed
from src.launch import diagnosis
from src.runs.masking import mask


def doctor(config: DictConfig) -> None:
    """Checks everything that a run with this configuration needs of the machine, and prints each result.

    Raises:
        RunFailed: something would keep a run from its end.
    """
    needed = OmegaConf.masked_copy(config, ["trainer", "tracking", "paths", "cluster"])
    findings = []
    for finding in diagnosis.findings(composition.container(needed)):
        findings.append(finding)
        print(f"{finding.state:<8} {finding.subject:<16} {mask(finding.text)}", flush=True)
    errors = [finding.subject for finding in findings if finding.state == "error"]
    if errors:
        raise RunFailed(f"expected no error; {len(errors)} of {len(findings)} checks found one: {', '.join(errors)}.")


if __name__ == "__main__":
    command_line.main(doctor)
