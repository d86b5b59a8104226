"""The one exception tree of HyT; each error is one line (subject, expected, received, remedy) and has an exit code.

    HytError                       1   also: the operating system refused (a full disk, a missing folder)
    +-- CheckpointError            3   a checkpoint or its hyt.json cannot be used
    +-- BundleError                4   a bundle is missing, damaged, changed or of another schema
    +-- InputError                 5   an observation, instruction or argument does not fit the contract
    +-- LinkError                  6   the port or the firmware behind it
    |   +-- ChunkRejected          6   the firmware refused a chunk and said why
    +-- OutputExistsError          7   the output is there already and --force was not given
    +-- MissingDependencyError     8   an optional package is needed for what was asked
    +-- DatasetError               9   a folder of training data is missing, damaged, or of another layout
    +-- RobotError                10   a camera gives no image, or only an old one
    +-- StoppedError              11   somebody stopped the run, by terminal, page or program
    +-- PolicyError               12   the policy gave numbers that no robot may act on
    +-- RecordingError            13   a recording cannot be written (a full disk) or read (damage)
    +-- ReplayError               14   a replay gave other tokens than the recording

The command lines print the line on standard error and exit with the code; 2 is a usage error (argparse), and
128 + N the end by a signal N: 130 Ctrl-C, 143 SIGTERM, 129 a terminal that hung up.
"""

from __future__ import annotations

_LONGEST_PART = 1000  # characters


class HytError(Exception):
    """Base of all errors that HyT raises on purpose."""

    exit_code = 1

    def __init__(self, subject: str, *, expected: str = "", received: str = "", remedy: str = "") -> None:
        self.subject = subject
        self.expected = expected
        self.received = received
        self.remedy = remedy
        parts = [subject]
        if expected:
            parts.append(f"expected {expected}")
        if received:
            parts.append(f"received {received}")
        if remedy:
            parts.append(remedy)
        # One line whatever the parts held: a file's content must not forge a second line of output, nor flood it.
        super().__init__(" ".join("; ".join(map(_shortened, parts)).split()))


def _shortened(part: str) -> str:
    return part if len(part) <= _LONGEST_PART else f"{part[: _LONGEST_PART - 3]}..."


class CheckpointError(HytError):
    """A checkpoint directory, its tensors or its `hyt.json` cannot be used."""

    exit_code = 3


class BundleError(HytError):
    """A bundle is missing, damaged, changed since export, or of a schema this version does not read."""

    exit_code = 4


class InputError(HytError):
    """An observation, instruction or argument does not fit the policy's contract."""

    exit_code = 5


class LinkError(HytError):
    """The serial port or the firmware behind it did not do what the protocol promises."""

    exit_code = 6


class ChunkRejected(LinkError):  # noqa: N818 - an event of the link rather than a fault
    """The firmware refused an action chunk; `reason` is the firmware's own word for why."""

    def __init__(self, reason: str, *, expected: str = "", received: str = "", remedy: str = "") -> None:
        self.reason = reason
        super().__init__(f"chunk rejected: {reason}", expected=expected, received=received, remedy=remedy)


class OutputExistsError(HytError):
    """The output exists and `--force` was not given."""

    exit_code = 7


class MissingDependencyError(HytError):
    """An optional package is needed for what was asked; the remedy names the extra to install."""

    exit_code = 8


class DatasetError(HytError):
    """A folder of training data is missing, damaged, unfinished, or not laid out as its own metadata says."""

    exit_code = 9


class RobotError(HytError):
    """Something of the robot besides its port and firmware failed: a camera gives no image, or an old one."""

    exit_code = 10


class StoppedError(HytError):
    """Somebody stopped the run by `Controls.stop`; the firmware has confirmed that it stopped."""

    exit_code = 11


class PolicyError(HytError):
    """The policy computed no action, or one that is not made of finite numbers."""

    exit_code = 12


class RecordingError(HytError):
    """A recording cannot be written, or is missing, damaged or of another format."""

    exit_code = 13


class ReplayError(HytError):
    """A policy that was asked again what a recording says it was asked answered otherwise."""

    exit_code = 14
