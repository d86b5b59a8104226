"""One look at a camera for an observation: an old image and a frozen picture are refused here, whatever the source."""

from __future__ import annotations

import time

from hyt.errors import RobotError
from hyt.runtime import contract
from hyt.runtime.cameras.camera import Camera, Image
from hyt.runtime.cameras.opencv import opencv
from hyt.runtime.cameras.table import CameraTable


def look(camera: Camera, table: CameraTable, wanted: contract.Camera) -> tuple[Image, float]:
    """Its newest image, in the policy's size if the table says so, and `time.monotonic()` when it was taken.

    Raises RobotError when the camera has failed, its image is older than `max_age`, or its picture has not changed by
    a pixel for `frozen_after`: a sensor's noise alone changes some.
    """
    frame = camera.frame()
    now = time.monotonic()
    age, still = now - frame.taken, now - frame.changed
    if age > table.max_age:
        raise RobotError(
            f"camera {table.name!r}",
            expected=f"an image of at most {table.max_age:g} s of age",
            received=f"one of {age:.2f} s",
            remedy="check that it runs and is plugged in",
        )
    if table.frozen_after and still > table.frozen_after:
        raise RobotError(
            f"camera {table.name!r}",
            expected=f"a picture that changes within {table.frozen_after:g} s",
            received=f"the same pixels for {still:.2f} s",
            remedy="look for a hung or covered camera; frozen_after = 0 in its table allows a still picture",
        )
    image = frame.image
    if table.resize and image.shape[:2] != (wanted.height, wanted.width):
        cv2 = opencv(table.name)
        image = cv2.resize(image, (wanted.width, wanted.height), interpolation=cv2.INTER_AREA)
    return image, frame.taken
