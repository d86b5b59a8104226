"""Setpoints that the firmware puts out, against NumPy, and chunks that it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ports import both

from hyt.firmware_bridge import AxisConfig, ChunkRejected, FirmwareProcess, Link, State

Start = Callable[..., FirmwareProcess]
# Half a micro-unit of rounding, and 1/4096 of the truncated line.
ROUNDING = 0.5e-6 + 1e-9

lengths = st.tuples(st.integers(1, 6), st.integers(1, 40))
per_example = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def line(start: np.ndarray, points: np.ndarray, step_ticks: int) -> np.ndarray:
    """NumPy's piecewise linear path from `start` through `points`, one row per tick."""
    knots = np.vstack([start, points])
    times = np.arange(len(knots)) * step_ticks
    ticks = np.arange(1, times[-1] + 1)
    return np.stack([np.interp(ticks, times, knots[:, axis]) for axis in range(knots.shape[1])], axis=1)


@per_example
@given(st.lists(lengths, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_linear_chunks_follow_the_line_and_end_exactly_on_every_point(
    start: Start, shapes: list[tuple[int, int]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    with start(link_timeout_ticks=1000) as firmware, Link(firmware.port) as link:
        link.arm()
        tick, here = 0, np.zeros(2)
        for steps, step_ticks in shapes:
            points = random.uniform(-1, 1, (steps, 2))
            link.send_chunk(tick, step_ticks, points)
            setpoints = firmware.advance(steps * step_ticks)
            wire_points = np.rint(points * 1e6) / 1e6
            np.testing.assert_allclose(setpoints, line(here, wire_points, step_ticks), rtol=0, atol=ROUNDING)
            np.testing.assert_array_equal(setpoints[step_ticks - 1 :: step_ticks], wire_points)
            tick, here = tick + steps * step_ticks, wire_points[-1]
        assert link.telemetry().counters["limited_ticks"] == 0


@both
def test_hold_takes_each_point_at_the_first_tick_of_its_step(start: Start) -> None:
    with start(axes=[AxisConfig("grip", "", -1, 1, 0, 0, "hold")]) as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 3, [[1.0], [-1.0]])
        assert firmware.advance(7)[:, 0].tolist() == [1, 1, 1, -1, -1, -1, -1]


@both
def test_several_queued_chunks_run_as_one_path_and_gaps_hold(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        assert link.send_chunk(0, 5, [[0.5, 0]]).credit == 3
        link.send_chunk(5, 5, [[1.0, 0]])
        link.send_chunk(20, 5, [[0.0, 0]])
        x = firmware.advance(25)[:, 0]
        np.testing.assert_allclose(x[:10], np.arange(1, 11) / 10)
        assert (x[9:20] == 1).all()
        np.testing.assert_allclose(x[19:], [1, 0.8, 0.6, 0.4, 0.2, 0])


@both
def test_the_path_does_not_notice_that_ticks_wrap(start: Start) -> None:
    paths = []
    for first in (0, 2**32 - 7):
        with start(start_tick=first) as firmware, Link(firmware.port) as link:
            link.arm()
            assert link.telemetry().tick == first
            link.send_chunk(first, 5, [[0.3, -0.7], [-0.2, 1]])
            link.send_chunk(first + 10, 5, [[0.1, 0]])
            paths.append(firmware.advance(20))
            assert link.telemetry().tick == (first + 20) % 2**32
    np.testing.assert_array_equal(paths[0], paths[1])


@pytest.mark.parametrize("acceleration", [0.0, 20.0])
@per_example
@given(st.integers(0, 2**32 - 1))
def test_no_chunk_breaks_a_limit_not_even_across_seams(start: Start, acceleration: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    velocity, hz = 2.0, 400
    axes = [AxisConfig("a", "m", -0.5, 0.5, velocity, acceleration, kind) for kind in ("linear", "hold")]
    with start(axes=axes, link_timeout_ticks=10000) as firmware, Link(firmware.port) as link:
        link.arm()
        tick, rows = 0, [np.zeros((1, 2))]
        for _ in range(6):
            steps, step_ticks, pause = (int(random.integers(low, high)) for low, high in ((1, 4), (1, 30), (0, 5)))
            link.send_chunk(tick + pause, step_ticks, random.uniform(-0.5, 0.5, (steps, 2)))
            ticks = pause + steps * step_ticks
            rows.append(firmware.advance(ticks))
            tick += ticks
        rows.append(firmware.advance(2000))
    path = np.vstack(rows)
    steps_taken = np.diff(path, axis=0)
    assert np.abs(path).max() <= 0.5
    assert np.abs(steps_taken).max() <= velocity / hz + 1.1e-6
    if acceleration:
        # Each of the three positions in a second difference is rounded by half a micro-unit.
        assert np.abs(np.diff(steps_taken, axis=0)).max() <= acceleration / hz**2 + 2.1e-6
    assert (steps_taken[-1] == 0).all()


@both
def test_an_accelerating_axis_reaches_its_last_point_and_stays(start: Start) -> None:
    axes = [AxisConfig("a", "m", -1, 1, 1.0, 5.0)]
    with start(axes=axes, link_timeout_ticks=1000) as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 10, [[0.9]])
        path = firmware.advance(600)[:, 0]
        assert path[-1] == 0.9
        assert path.max() <= 1.0
        assert link.telemetry().counters["limited_ticks"] > 0


def rejection(link: Link, start_tick: int, points: object = ((0.0, 0.0),), step_ticks: int = 5) -> ChunkRejected:
    with pytest.raises(ChunkRejected) as caught:
        link.send_chunk(start_tick, step_ticks, np.asarray(points))
    assert "\n" not in str(caught.value)
    return caught.value


@both
def test_a_chunk_before_arming_is_refused(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        assert rejection(link, 0).reason == "NOT_ARMED"


@both
def test_late_overlapping_early_and_outside_chunks_are_refused_with_the_reason(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        firmware.advance(10)
        assert str(rejection(link, 7)).startswith(
            "chunk rejected: LATE; expected a start at tick 10 or later; received 7, 3 ticks late; "
        )
        link.send_chunk(10, 5, [[0, 0], [0, 0]])
        assert rejection(link, 18).reason == "OVERLAP"
        assert rejection(link, 10 + 2**24 + 1).reason == "TOO_EARLY"
        error = rejection(link, 10, [[0, 0], [0, 1.000001]])
        assert str(error).startswith(
            "chunk rejected: POSITION_LIMIT; expected axis y within -1 to 1 m; received 1.000001 in step 1; "
        )
        for index in range(4):
            link.send_chunk(10 + 5 * index, 5, [[0, 0]])
        assert rejection(link, 30).reason == "QUEUE_FULL"
        assert link.statistics.rejected == {
            "LATE": 1,
            "OVERLAP": 1,
            "TOO_EARLY": 1,
            "POSITION_LIMIT": 1,
            "QUEUE_FULL": 1,
        }
        assert link.telemetry().counters["chunks_rejected"] == 5


@both
def test_a_rejected_chunk_flushes_the_queue_and_the_arm_comes_to_rest(start: Start) -> None:
    with start() as firmware, Link(firmware.port) as link:
        link.arm()
        link.send_chunk(0, 100, [[1, 1]])
        link.send_chunk(100, 100, [[-1, -1]])
        here = firmware.advance(20)[-1]
        assert rejection(link, 5).reason == "LATE"
        assert (firmware.advance(30) == here).all()
        telemetry = link.telemetry()
        assert (telemetry.state, telemetry.credit, telemetry.counters["chunks_flushed"]) == (State.ARMED, 4, 2)
        # The next plan starts from where the arm stands.
        link.send_chunk(telemetry.tick, 10, [[0, 0]])
        assert firmware.advance(10)[-1].tolist() == [0, 0]
