"""Which source is read how: tables, pipelines, video files, and what is missing here."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from hyt.errors import MissingDependencyError, RobotError
from hyt.runtime.cameras import CameraTable, open_camera
from hyt.runtime.cameras.source import csi_pipeline


def table(source: str, **changes: Any) -> CameraTable:
    return CameraTable.model_validate({"name": "front", "source": source, **changes})


def test_a_video_gives_its_frames_and_then_ends(tmp_path: Path) -> None:
    shades = ((200, 0, 0), (0, 0, 200))
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for shade in shades:
        writer.write(np.full((64, 64, 3), shade[::-1], np.uint8))
    writer.release()
    camera = open_camera(table("video:v.avi"), tmp_path)
    for shade in shades:
        np.testing.assert_allclose(camera.frame().image.mean(axis=(0, 1)), shade, atol=6)
    with pytest.raises(RobotError, match="received the end of the video"):
        camera.frame()
    camera.close()


def test_a_csi_sensor_is_a_pipeline_that_keeps_the_newest_image_alone() -> None:
    assert csi_pipeline(table("csi:1", size=[640, 480], rate=60)) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=640,height=480,framerate=60/1 ! "
        "nvvidconv ! video/x-raw,format=BGRx ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
    assert "width=1280,height=720,framerate=30/1" in csi_pipeline(table("csi:0"))


@pytest.mark.parametrize("source", ["csi:0", "gstreamer:videotestsrc is-live=true"])
def test_an_opencv_without_gstreamer_is_told_with_two_ways_out(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2.videoio_registry, "getCameraBackends", lambda: (cv2.CAP_V4L2,))
    with pytest.raises(MissingDependencyError, match=r"an OpenCV with GStreamer; received OpenCV .* without it; take"):
        open_camera(table(source), tmp_path)


def test_without_opencv_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imports: Callable[..., Any] = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
        return imports(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for source in ("images:f", "newest:f", "video:/dev/video0", "csi:0"):
        with pytest.raises(MissingDependencyError, match=r"expected OpenCV; .*; pip install 'hyt\[camera\]'"):
            open_camera(table(source), tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": "csi:front"}, "source"),
        ({"source": "usb:0"}, "source"),
        ({"source": "images:f", "size": [640, 480]}, "size and rate are for video:/dev/... and csi: alone"),
        ({"source": "video:clip.avi", "rate": 30}, "size and rate are for"),
        ({"source": "csi:0", "size": [640]}, "size"),
        ({"source": "csi:0", "max_age": 0}, "max_age"),
        ({"source": "csi:0", "frozen_after": float("nan")}, "frozen_after"),
    ],
)
def test_a_table_that_means_nothing_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CameraTable.model_validate({"name": "front", **changes})
