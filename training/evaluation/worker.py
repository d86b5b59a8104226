"""One process of an evaluation: the policies it has loaded, the robot it has open, one episode at a time."""

from __future__ import annotations

import signal
from functools import partial

from hyt.errors import InputError
from hyt.runtime.policy import Policy, load
from hyt.simulation.midway import MidwayArm
from hyt.simulation.robot import SimulatedRobot
from hyt.simulation.tasks import find_task
from hyt.training.evaluation.log import Job, Record
from hyt.training.evaluation.modes import MIDWAY, make_arm, run_mode


class Worker:
    """Runs jobs on one thread; neighbouring jobs on the same task and contract share their robot."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}
        self._robot: SimulatedRobot | None = None
        self._robot_of: tuple[str, ...] = ()

    def run(self, job: Job) -> Record:
        """Run one episode.

        What the policy refuses to read (InputError while it is asked) is an episode that was not solved, with the
        reason. Any other error passes through: a bundle that is damaged, a robot that does not fit, a failing link.
        """
        policy = self._policy(job)
        try:
            policy.reset(instruction=find_task(job.task).instructions[0])
        except InputError as refusal:  # before a robot is opened in vain
            return Record(*job.key, success=False, refusal=str(refusal))
        robot = self._open(policy, job)
        try:
            result, tokens = run_mode(policy, robot, job.mode, job.seed)
        except InputError as refusal:
            return Record(*job.key, success=False, refusal=str(refusal))
        return Record(
            *job.key,
            success=result.success,
            decisions=result.decisions,
            late_chunks=result.late_chunks,
            seconds=round(result.seconds, 3),
            thought_tokens=tokens,
            latency_ms={
                phase: [round(1e3 * value, 3) for value in values] for phase, values in result.latencies.items()
            },
            moved=robot.arm.moved if isinstance(robot.arm, MidwayArm) else None,
        )

    def close(self) -> None:
        """Free robot and policies."""
        if self._robot is not None:
            self._robot.close()
            self._robot = None
        for policy in self._policies.values():
            policy.close()
        self._policies.clear()

    def _policy(self, job: Job) -> Policy:
        policy = self._policies.get(job.policy)
        if policy is None:
            policy = self._policies[job.policy] = load(job.bundle, threads=1, backend=job.backend)
        return policy

    def _open(self, policy: Policy, job: Job) -> SimulatedRobot:
        wanted = (job.task, job.mode if job.mode in MIDWAY else "", policy.contract.model_dump_json())
        if self._robot is None or self._robot_of != wanted:
            if self._robot is not None:
                self._robot.close()
                self._robot = None
            self._robot = SimulatedRobot(job.task, policy.contract, make_arm=partial(make_arm, job.mode))
            self._robot_of = wanted
        return self._robot


_worker: Worker | None = None


def start_process() -> None:
    """Make this process a worker; an interrupt is the business of the process that started it."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = Worker()


def run_in_process(job: Job) -> Record:
    """Run a job in a process that `start_process` has prepared."""
    assert _worker is not None
    return _worker.run(job)
