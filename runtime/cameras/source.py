"""From a camera's table to the camera: which source is read how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyt.runtime.cameras.camera import Camera
from hyt.runtime.cameras.folder import Folder, Newest
from hyt.runtime.cameras.opencv import not_there, opencv, opencv_with_gstreamer
from hyt.runtime.cameras.stream import Stream
from hyt.runtime.cameras.table import CameraTable
from hyt.runtime.cameras.video_file import VideoFile

CSI_SIZE, CSI_RATE = (1280, 720), 30
# One image is kept, and a newer one replaces it: an image that waited is an old one.
SINK = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"


def open_camera(table: CameraTable, folder: Path) -> Camera:
    """The camera of this table, its paths relative to `folder`; it has given its first image.

    Raises InputError when there is nothing there, RobotError when it gives no image, MissingDependencyError without
    OpenCV, or without GStreamer in it for csi: and gstreamer:.
    """
    path = folder / table.where
    if table.kind == "images":
        return Folder(table.name, path)
    if table.kind == "newest":
        return Newest(table.name, path)
    if table.kind == "gstreamer":
        return _gstreamer(table.name, f"{table.where} ! {SINK}")
    if table.kind == "csi":
        return _gstreamer(table.name, csi_pipeline(table))
    if path.is_file():
        return VideoFile(table.name, path)
    cv2 = opencv(table.name)
    if table.is_device:
        return Stream(table.name, cv2, _device(table, cv2))
    return Stream(table.name, cv2, _stream(table, cv2, table.where if "://" in table.where else str(path)))


def csi_pipeline(table: CameraTable) -> str:
    """The GStreamer pipeline of a Jetson's CSI sensor: Argus takes and scales the image, OpenCV gets it as BGR."""
    (width, height), rate = table.size or CSI_SIZE, table.rate or CSI_RATE
    return (
        f"nvarguscamerasrc sensor-id={table.where} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={rate}/1 ! "
        f"nvvidconv ! video/x-raw,format=BGRx ! {SINK}"
    )


def _gstreamer(name: str, pipeline: str) -> Stream:
    cv2 = opencv_with_gstreamer(name)
    remedy = "try it by `gst-launch-1.0 -v`, with fakesink at its end"

    def opened() -> Any:
        capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            raise not_there(name, "a pipeline that GStreamer starts", pipeline, remedy)
        return capture

    return Stream(name, cv2, opened, remedy=remedy)


def _device(table: CameraTable, cv2: Any) -> Callable[[], Any]:
    def opened() -> Any:
        where = int(table.where) if table.where.isdigit() else table.where
        capture = cv2.VideoCapture(where, cv2.CAP_V4L2)
        if not capture.isOpened():
            remedy = "look for it with `ls /dev/v4l/by-id`, and check that you are in the group video"
            raise not_there(table.name, "a camera", f"none at {table.where}", remedy)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        wanted = {cv2.CAP_PROP_FPS: table.rate} if table.rate else {}
        if table.size:
            wanted |= {cv2.CAP_PROP_FRAME_WIDTH: table.size[0], cv2.CAP_PROP_FRAME_HEIGHT: table.size[1]}
        for key, value in wanted.items():
            capture.set(key, value)
        if any(round(capture.get(key)) != value for key, value in wanted.items()):
            width, height, rate = (
                round(capture.get(key))
                for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
            )
            raise not_there(
                table.name,
                f"size {table.size or 'any'} and rate {table.rate or 'any'}",
                f"{width} x {height} at {rate}/s, the nearest that {table.where} has",
                f"`v4l2-ctl -d {table.where} --list-formats-ext` lists what it has",
            )
        return capture

    return opened


def _stream(table: CameraTable, cv2: Any, where: str) -> Callable[[], Any]:
    def opened() -> Any:
        if "://" not in where and not Path(where).exists():
            raise not_there(table.name, "a camera, a video or a stream", f"nothing at {where}")
        capture = cv2.VideoCapture(where, cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise not_there(table.name, "a stream that OpenCV reads", where)
        return capture

    return opened
