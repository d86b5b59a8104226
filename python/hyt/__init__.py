"""HyT: run Hybrid Training vision-language-action policies on a robot.

import hyt

policy = hyt.load("drawer.hyt")
policy.reset(instruction="open the drawer")
chunk = policy.act(hyt.Observation({"corner2": image}, state))
print(chunk.values, chunk.units, chunk.step_time)
"""

from hyt.errors import (
    BundleError,
    CheckpointError,
    ChunkRejected,
    HytError,
    InputError,
    LinkError,
    MissingDependencyError,
    OutputExistsError,
    PolicyError,
    RecordingError,
    ReplayError,
    RobotError,
    StoppedError,
)
from hyt.runtime.actions import ActionChunk, Timings
from hyt.runtime.observation import Observation
from hyt.runtime.policy import Policy, Thought, load

__all__ = [
    "ActionChunk",
    "BundleError",
    "CheckpointError",
    "ChunkRejected",
    "HytError",
    "InputError",
    "LinkError",
    "MissingDependencyError",
    "Observation",
    "OutputExistsError",
    "Policy",
    "PolicyError",
    "RecordingError",
    "ReplayError",
    "RobotError",
    "StoppedError",
    "Thought",
    "Timings",
    "load",
]
