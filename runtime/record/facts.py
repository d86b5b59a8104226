"""What is known of a drive before its episodes begin: policy, engine, options, names of all numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from hyt.errors import InputError
from hyt.runtime.bundle import describe_file
from hyt.runtime.manifest import MANIFEST_NAME
from hyt.runtime.policy import Policy
from hyt.runtime.record.format import FORMAT, Dimension, RecordedBundle, RecordedCamera, Run
from hyt.runtime.record.messages import unique_names


class Facts:
    """Makes the `Run` of each episode; `attend` says which robot comes next, in which modality.

    options, versions, machine: as `Run` has them; whoever records from a loop of their own may leave them out.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        options: Mapping[str, Any] = MappingProxyType({}),
        versions: Mapping[str, str] = MappingProxyType({}),
        machine: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        manifest, contract = policy.bundle.manifest, policy.contract
        if camera := next((camera for camera in contract.cameras if camera.frames > 1), None):
            raise InputError(
                f"recording: camera {camera.name!r}", expected="one frame a decision", received=f"{camera.frames}"
            )
        self._bundle = RecordedBundle(
            path=str(policy.bundle.path.resolve()),
            name=manifest.name,
            manifest_sha256=describe_file(policy.bundle.path / MANIFEST_NAME).sha256,
            quantization=manifest.quantization.requested,
        )
        self._backend = dict(policy.info["backend"])
        self._contract = contract
        self._options, self._versions, self._machine = dict(options), dict(versions), dict(machine)
        self._robot = self._modality = ""

    def attend(self, robot: str, modality: str) -> None:
        """The episodes to come are of this robot, asked in this modality (act, think, follow or gate)."""
        self._robot, self._modality = robot, modality

    def run(self, episode: int, seed: int, instruction: str) -> Run:
        """What the episode of this number is driven with."""
        contract = self._contract
        state = () if contract.state is None else contract.state.dimensions
        return Run(
            format=FORMAT,
            started=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            episode=episode,
            seed=seed,
            robot=self._robot,
            instruction=instruction,
            modality=self._modality,
            bundle=self._bundle,
            backend=self._backend,
            options=self._options,
            cameras={c.name: RecordedCamera(height=c.height, width=c.width) for c in contract.cameras},
            state=_dimensions([(d.name, d.unit) for d in state]),
            action=_dimensions([(d.name, d.unit) for d in contract.action.dimensions]),
            step_time=contract.action.step_time,
            versions=self._versions,
            machine=self._machine,
        )


def _dimensions(named: list[tuple[str, str]]) -> tuple[Dimension, ...]:
    names = unique_names([name for name, _ in named])
    return tuple(Dimension(name=name, unit=unit) for name, (_, unit) in zip(names, named, strict=True))
