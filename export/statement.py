"""What a checkpoint leaves open and its user must say: whose statistics to take, how long a step lasts, units."""

from __future__ import annotations

from dataclasses import dataclass

from hyt.errors import CheckpointError
from hyt.export.checkpoint import Checkpoint
from hyt.runtime.contract import Contract


@dataclass(frozen=True)
class Statement:
    """unnorm_key: data set whose statistics undo the normalisation; step_time: seconds of one action;
    units: of translation and of rotation."""

    unnorm_key: str | None = None
    step_time: float | None = None
    units: tuple[str, str] | None = None

    def options(self) -> dict[str, str]:
        """The options of the command line that say the same."""
        units = None if self.units is None else ",".join(self.units)
        values = {"--unnorm-key": self.unnorm_key, "--step-time": self.step_time, "--units": units}
        return {option: str(value) for option, value in values.items() if value is not None}


def own_contract(checkpoint: Checkpoint, statement: Statement) -> Contract:
    """The contract of hyt.json; raises CheckpointError where there is none or the user states what it already says."""
    if checkpoint.contract is None:
        raise CheckpointError(
            str(checkpoint.path),
            expected="hyt.json in it: the config of this family says nothing of actions",
            received="none",
            remedy="write one beside the weights: cameras, prompt, action tokens and dimensions of the policy",
        )
    if stated := list(statement.options()):
        raise CheckpointError(
            f"{checkpoint.path / 'hyt.json'}",
            expected="it to state the actions alone",
            received=f"{stated[0]} too",
            remedy=f"leave {stated[0]} out or remove hyt.json",
        )
    return checkpoint.contract
