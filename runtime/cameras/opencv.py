"""OpenCV, imported when a camera is opened: the only package that a camera needs besides the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hyt.errors import InputError, MissingDependencyError, RobotError
from hyt.runtime.cameras.camera import Image


def opencv(name: str) -> Any:
    """The module cv2 for camera `name`; raises MissingDependencyError that names the extra."""
    try:
        import cv2
    except ImportError as problem:
        raise MissingDependencyError(
            f"camera {name!r}", expected="OpenCV", received=str(problem), remedy="pip install 'hyt[camera]'"
        ) from None
    return cv2


def opencv_with_gstreamer(name: str) -> Any:
    """The module cv2; raises MissingDependencyError when it was built without GStreamer, as those on PyPI are."""
    cv2 = opencv(name)
    if cv2.CAP_GSTREAMER not in cv2.videoio_registry.getCameraBackends():
        raise MissingDependencyError(
            f"camera {name!r}",
            expected="an OpenCV with GStreamer",
            received=f"OpenCV {cv2.__version__} without it",
            remedy="take the system's (apt install python3-opencv, in a venv made with --system-site-packages), or let "
            "`gst-launch-1.0 ... ! y4menc ! filesink location=PIPE` write to a named pipe and name it video:PIPE",
        )
    return cv2


def read_image(cv2: Any, name: str, path: Path) -> Image:
    """The image of a file; raises RobotError for a file that is none."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise RobotError(f"camera {name!r}", expected="an image", received=f"{path.name}, which OpenCV cannot read")
    rgb: Image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def not_there(name: str, expected: str, received: str, remedy: str = "") -> InputError:
    """The refusal of a source at which there is nothing."""
    return InputError(f"camera {name!r}: source", expected=expected, received=received, remedy=remedy)
