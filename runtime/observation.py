"""What a policy sees: images by camera name and a state vector, copied and checked before they reach the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hyt.errors import InputError

if TYPE_CHECKING:
    from hyt.runtime.contract import Contract


class Observation:
    """One moment as the robot sees it. It owns read-only copies, so a camera may reuse its buffer at once.

    images: camera name -> uint8 (height, width, 3), RGB, in the order and size the policy's contract names; of a camera
            with several frames uint8 (frames, height, width, 3), the oldest first.
    state:  float32 (n,), in the units of the contract; empty when the policy has no state.
    frame_ages: camera name -> seconds between its image was taken and this observation; empty where nobody measures it.

    Raises InputError for an image that is not uint8 (height, width, 3), and for a state that is not a vector of finite
    numbers.
    """

    __slots__ = ("frame_ages", "images", "state")

    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    frame_ages: Mapping[str, float]

    def __init__(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        state: ArrayLike = (),
        *,
        frame_ages: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        if not isinstance(images, Mapping):
            raise InputError("images", expected="a mapping of camera name to image", received=type(images).__name__)
        self.images = MappingProxyType({str(name): _image(str(name), image) for name, image in images.items()})
        self.state = _state(state)
        self.frame_ages = MappingProxyType(dict(frame_ages))

    def __repr__(self) -> str:
        images = ", ".join(f"{name}: {image.shape}" for name, image in self.images.items())
        return f"Observation(images={{{images}}}, state={self.state.tolist()})"


def check_observation(observation: Observation, contract: Contract) -> list[NDArray[np.uint8]]:
    """The images in the order of the prompt; raises InputError where the observation does not fit the contract."""
    if not isinstance(observation, Observation):
        raise InputError("observation", expected="a hyt.Observation", received=type(observation).__name__)
    cameras = {camera.name: camera for camera in contract.cameras}
    given = list(observation.images)
    if unknown := [name for name in given if name not in cameras]:
        raise InputError(
            f"camera {unknown[0]!r}: unknown to this policy",
            expected=f"cameras {_names(list(cameras))}",
            received=_names(given),
        )
    if missing := [name for name in cameras if name not in observation.images]:
        raise InputError(
            f"camera {missing[0]!r}: no image", expected=f"cameras {_names(list(cameras))}", received=_names(given)
        )
    for name, camera in cameras.items():
        shape = observation.images[name].shape
        if shape != camera.shape:
            raise InputError(
                f"camera {name!r}: image shape",
                expected=str(camera.shape),
                received=str(shape),
                remedy="resize or crop it as in training",
            )
    _check_state_length(observation.state, contract)
    return [_frame(observation.images[name], frame) for name, frame in contract.frames()]


def _frame(image: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
    return image if image.ndim == 3 else np.asarray(image[frame])


def _check_state_length(state: NDArray[np.float32], contract: Contract) -> None:
    names = [] if contract.state is None else [dimension.name for dimension in contract.state.dimensions]
    if len(state) != len(names):
        raise InputError(
            "state: length", expected=f"{len(names)} values ({', '.join(names) or 'none'})", received=str(len(state))
        )


def _image(name: str, image: Any) -> NDArray[np.uint8]:
    dtype = getattr(image, "dtype", None)
    if dtype != np.uint8:
        raise InputError(
            f"camera {name!r}: image dtype",
            expected="uint8 from 0 to 255",
            received=str(dtype) if dtype is not None else type(image).__name__,
        )
    if image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
        raise InputError(f"camera {name!r}: image shape", expected="(height, width, 3), RGB", received=str(image.shape))
    copy = np.array(image, dtype=np.uint8, order="C")
    copy.setflags(write=False)
    return copy


def _state(state: ArrayLike) -> NDArray[np.float32]:
    try:
        values = np.asarray(state)
    except ValueError:  # numpy's word for rows of different lengths
        raise InputError("state", expected="a vector of numbers", received="a ragged sequence") from None
    if values.size and values.dtype.kind not in "fiu":
        raise InputError("state: dtype", expected="float32", received=str(values.dtype))
    if values.ndim != 1:
        raise InputError("state: shape", expected="a vector (n,)", received=str(values.shape))
    with np.errstate(over="ignore"):  # what overflows float32 becomes inf and is refused below
        vector = np.array(values, dtype=np.float32)
    if not np.isfinite(vector).all():
        index = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise InputError(f"state[{index}]", expected="a finite number", received=str(vector[index]))
    vector.setflags(write=False)
    return vector


def _names(names: Sequence[str]) -> str:
    return "[" + ", ".join(repr(name) for name in names) + "]"


def random_observation(contract: Contract, seed: int) -> Observation:
    """Noise of the contract's shapes; the time of an answer does not depend on what it is about."""
    random = np.random.default_rng(seed)
    images = {c.name: random.integers(0, 256, c.shape, dtype=np.uint8) for c in contract.cameras}
    dimensions = contract.state.dimensions if contract.state else ()
    return Observation(images, [random.uniform(d.low, d.high) for d in dimensions])
