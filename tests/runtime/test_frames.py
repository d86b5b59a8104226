"""Past images for a policy that looks back: which ones, in which order, and what is refused."""

from __future__ import annotations

import json

import checkpoints
import numpy as np
import pytest

import hyt
from hyt.runtime.contract import Camera, Contract
from hyt.runtime.frames import FrameHistory
from hyt.runtime.observation import Observation, check_observation
from hyt.runtime.prompt import Prompt


def contract(**cameras: dict[str, int]) -> Contract:
    """Two cameras, camera0 and camera1, with these frames and strides."""
    data = checkpoints.make_contract(checkpoints.Shape(cameras=2)).model_dump(mode="json")
    for camera in data["cameras"]:
        camera.update(cameras.get(camera["name"], {}))
    return Contract.model_validate(data)


def seen(number: int) -> Observation:
    """All pixels have this number in camera0, and 100 more in camera1."""
    images = {f"camera{i}": np.full((28, 28, 3), number + 100 * i, np.uint8) for i in range(2)}
    return Observation(images, np.zeros(4, np.float32))


def numbers(observation: Observation, name: str) -> list[int]:
    image = observation.images[name]
    return [int(frame[0, 0, 0]) for frame in (image if image.ndim == 4 else [image])]


@pytest.mark.parametrize(
    ("frames", "stride", "expected"),
    [
        (2, 1, [[1, 1], [1, 2], [2, 3], [3, 4], [4, 5]]),
        (3, 1, [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]),
        (2, 3, [[1, 1], [1, 2], [1, 3], [1, 4], [2, 5]]),
        (3, 2, [[1, 1, 1], [1, 1, 2], [1, 1, 3], [1, 2, 4], [1, 3, 5]]),
    ],
)
def test_the_newest_frames_stand_oldest_first_and_the_first_stands_for_those_before_it(
    frames: int, stride: int, expected: list[list[int]]
) -> None:
    looking_back = contract(camera0={"frames": frames, "frame_stride": stride})
    history = FrameHistory(looking_back)
    for number, row in enumerate(expected, 1):
        observation = history.add(seen(number))
        assert numbers(observation, "camera0") == row
        assert numbers(observation, "camera1") == [100 + number]
        check_observation(observation, looking_back)


def test_an_episode_begins_without_a_past() -> None:
    history = FrameHistory(contract(camera0={"frames": 2}))
    history.add(seen(1))
    history.reset()
    assert numbers(history.add(seen(7)), "camera0") == [7, 7]


def test_a_policy_that_does_not_look_back_gets_the_observation_itself() -> None:
    observation = seen(1)
    assert FrameHistory(contract()).add(observation) is observation


def test_images_that_have_their_frames_pass_as_they_are() -> None:
    image = np.arange(2 * 28 * 28 * 3).astype(np.uint8).reshape(2, 28, 28, 3)
    given = Observation({**seen(0).images, "camera0": image}, np.zeros(4, np.float32))
    np.testing.assert_array_equal(FrameHistory(contract(camera0={"frames": 2})).add(given).images["camera0"], image)


def test_images_come_out_camera_by_camera_in_the_order_of_the_prompt() -> None:
    looking_back = contract(camera0={"frames": 2}, camera1={"frames": 3})
    history = FrameHistory(looking_back)
    for number in (1, 2, 3):
        observation = history.add(seen(number))
    assert [int(image[0, 0, 0]) for image in check_observation(observation, looking_back)] == [2, 3, 101, 102, 103]
    layout = Prompt(looking_back, checkpoints.make_tokenizer(checkpoints.Shape(cameras=2))).layout(
        [11], observation.state
    )
    assert [entry for entry in layout.tolist() if entry < 0] == [-1, -2, -3, -4, -5]
    assert looking_back.image_count == 5


@pytest.mark.parametrize(
    ("frames", "shape"), [(2, (28, 28, 3)), (2, (3, 28, 28, 3)), (2, (1, 28, 28, 3)), (1, (1, 28, 28, 3))]
)
def test_another_number_of_frames_is_refused(frames: int, shape: tuple[int, ...]) -> None:
    looking_back = contract(camera0={"frames": frames})
    given = Observation({**seen(0).images, "camera0": np.zeros(shape, np.uint8)}, np.zeros(4, np.float32))
    expected = "(28, 28, 3)" if frames == 1 else f"({frames}, 28, 28, 3)"
    with pytest.raises(hyt.InputError) as error:
        check_observation(given, looking_back)
    assert f"camera 'camera0': image shape; expected {expected}; received {shape}" in str(error.value)


def test_a_contract_without_frames_is_written_as_ever() -> None:
    plain = Camera(name="a", height=4, width=4)
    assert set(json.loads(plain.model_dump_json())) == {"name", "height", "width", "mean", "std"}
    looking_back = Camera(name="a", height=4, width=4, frames=2, frame_stride=3)
    assert Camera.model_validate_json(looking_back.model_dump_json()) == looking_back


@pytest.mark.parametrize("change", [{"frames": 0}, {"frames": 17}, {"frame_stride": 0}, {"frames": 1.5}])
def test_frames_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="frame"):
        Camera.model_validate({"name": "a", "height": 4, "width": 4, **change})
