"""Cameras of a robot: V4L2 devices, CSI sensors, GStreamer pipelines, video files and streams, folders of images.

They are read by OpenCV (`pip install 'hyt[camera]'`). `open_camera` opens what a `[[cameras]]` table describes; `look`
gives its newest image with its age and refuses one that is too old, or a camera whose picture no longer changes.
"""

from hyt.runtime.cameras.camera import Camera, Frame, Image
from hyt.runtime.cameras.look import look
from hyt.runtime.cameras.source import open_camera
from hyt.runtime.cameras.table import CameraTable

__all__ = ["Camera", "CameraTable", "Frame", "Image", "look", "open_camera"]
