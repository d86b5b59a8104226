"""Tests of hyt.runtime.observation: what fits passes unchanged, all else is refused by name."""

from __future__ import annotations

import checkpoints
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyt
from hyt.runtime.contract import Contract
from hyt.runtime.observation import check_observation

IMAGE = np.zeros((28, 28, 3), np.uint8)
STATE = np.zeros(4, np.float32)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return checkpoints.make_contract(checkpoints.Shape(cameras=2))


def refusal(images: object, state: object = STATE) -> str:
    with pytest.raises(hyt.InputError) as caught:
        hyt.Observation(images, state)  # type: ignore[arg-type]
    return str(caught.value)


def test_an_observation_keeps_its_own_copy_of_a_buffer_that_is_reused() -> None:
    image, state = IMAGE.copy(), STATE.copy()
    observation = hyt.Observation({"front": image}, state)
    image[:], state[:] = 9, 9
    assert observation.images["front"].max() == 0
    assert observation.state.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        observation.images["front"][0, 0, 0] = 1


def test_a_flipped_view_becomes_contiguous() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    observation = hyt.Observation({"front": image[::-1, :, ::-1]})
    assert observation.images["front"].flags.c_contiguous
    np.testing.assert_array_equal(observation.images["front"], image[::-1, :, ::-1])


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=8))
def test_a_finite_state_passes_as_float32(values: list[float]) -> None:
    observation = hyt.Observation({}, values)
    assert observation.state.dtype == np.float32
    np.testing.assert_array_equal(observation.state, np.array(values, np.float32))


def test_a_float_image_is_refused() -> None:
    assert refusal({"front": IMAGE.astype(np.float32)}) == (
        "camera 'front': image dtype; expected uint8 from 0 to 255; received float32"
    )


def test_something_that_is_no_array_is_refused() -> None:
    assert refusal({"front": [[0]]}) == "camera 'front': image dtype; expected uint8 from 0 to 255; received list"


def test_an_image_with_channels_first_is_refused() -> None:
    assert refusal({"front": np.zeros((3, 28, 28), np.uint8)}) == (
        "camera 'front': image shape; expected (height, width, 3), RGB; received (3, 28, 28)"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_state_that_is_not_finite_in_float32_is_refused_by_index(value: float) -> None:
    assert refusal({}, [0.0, value]).startswith("state[1]; expected a finite number; received ")


def test_a_state_that_is_no_vector_is_refused() -> None:
    assert refusal({}, np.zeros((1, 4))) == "state: shape; expected a vector (n,); received (1, 4)"
    assert refusal({}, ["a"]) == "state: dtype; expected float32; received <U1"
    assert refusal({}, [[1.0], [1.0, 2.0]]) == "state; expected a vector of numbers; received a ragged sequence"


def test_images_come_out_in_the_order_of_the_prompt(contract: Contract) -> None:
    first, second = IMAGE.copy(), IMAGE.copy() + 1
    images = check_observation(hyt.Observation({"camera1": second, "camera0": first}, STATE), contract)
    assert [int(image[0, 0, 0]) for image in images] == [0, 1]


def checked(contract: Contract, images: dict[str, np.ndarray], state: object = STATE) -> str:
    with pytest.raises(hyt.InputError) as caught:
        check_observation(hyt.Observation(images, state), contract)  # type: ignore[arg-type]
    return str(caught.value)


def test_an_unknown_camera_is_named(contract: Contract) -> None:
    assert checked(contract, {"camera0": IMAGE, "wrist": IMAGE}) == (
        "camera 'wrist': unknown to this policy; expected cameras ['camera0', 'camera1']; received ['camera0', 'wrist']"
    )


def test_a_missing_camera_is_named(contract: Contract) -> None:
    assert checked(contract, {"camera0": IMAGE}) == (
        "camera 'camera1': no image; expected cameras ['camera0', 'camera1']; received ['camera0']"
    )


def test_an_image_of_another_size_is_refused(contract: Contract) -> None:
    assert checked(contract, {"camera0": IMAGE, "camera1": IMAGE[:20]}) == (
        "camera 'camera1': image shape; expected (28, 28, 3); received (20, 28, 3); resize or crop it as in training"
    )


def test_a_state_of_another_length_is_refused(contract: Contract) -> None:
    assert checked(contract, {"camera0": IMAGE, "camera1": IMAGE}, STATE[:3]) == (
        "state: length; expected 4 values (x, y, z, gripper); received 3"
    )


@pytest.mark.parametrize("images", [None, [IMAGE], IMAGE])
def test_images_without_names_are_refused(images: object) -> None:
    expected = f"images; expected a mapping of camera name to image; received {type(images).__name__}"
    assert refusal(images) == expected


def test_what_is_no_observation_is_refused(contract: Contract) -> None:
    with pytest.raises(hyt.InputError, match=r"^observation; expected a hyt\.Observation; received dict$"):
        check_observation({"front": IMAGE}, contract)  # type: ignore[arg-type]
