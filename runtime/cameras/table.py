"""The `[[cameras]]` table of a robot.toml.

[[cameras]]
name = "front"              # of the policy
source = "video:/dev/video0"
max_age = 0.5               # seconds; an older image stops the run
frozen_after = 2.0          # seconds in which not one pixel changed; a longer time stops the run; 0: never
resize = false              # scale to the policy's size, in place of refusing another
size = [1280, 720]          # width and height to ask of a V4L2 device (default: its own) or a CSI sensor (this)
rate = 30                   # frames a second to ask of it

A source is one of

video:/dev/video0           a V4L2 device; /dev/v4l/by-id/... keeps its name when others are plugged in
video:FILE                  a video file, one frame at each look, until its end
video:PIPE, video:URL       a stream, by a named pipe (Y4M starts at once) or rtsp://, http://; the newest frame
csi:0                       a CSI sensor of a Jetson, by nvarguscamerasrc; wants an OpenCV with GStreamer
gstreamer:PIPELINE          any pipeline of GStreamer, without its sink; wants an OpenCV with GStreamer
images:FOLDER               the images of a folder, in turn, by their names
newest:FOLDER               the image that some other program wrote last into a folder
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hyt.runtime.contract import Name

Pixels = Annotated[int, Field(ge=1, le=16384)]


class CameraTable(BaseModel):
    """One camera of the policy; see this file's head."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name
    source: Annotated[str, Field(pattern=r"^((video|gstreamer|images|newest):.+|csi:[0-9])$")]
    max_age: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 0.5
    frozen_after: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 2.0
    resize: bool = False
    size: Annotated[tuple[Pixels, Pixels] | None, Field(strict=False)] = None
    rate: Annotated[int | None, Field(ge=1, le=1000)] = None

    @model_validator(mode="after")
    def _mode_is_asked_of_who_has_one(self) -> CameraTable:
        if (self.size or self.rate) and not (self.kind == "csi" or self.is_device):
            raise ValueError("size and rate are for video:/dev/... and csi: alone")
        return self

    @property
    def kind(self) -> str:
        """What stands before the colon."""
        return self.source.partition(":")[0]

    @property
    def where(self) -> str:
        """What stands behind it."""
        return self.source.partition(":")[2]

    @property
    def is_device(self) -> bool:
        """Whether it is a V4L2 device: a path under /dev, or its number."""
        return self.kind == "video" and (self.where.startswith("/dev/") or self.where.isdigit())
