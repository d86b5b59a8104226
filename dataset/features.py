"""Which features of a LeRobot dataset are the state, the action and the cameras, read from its `meta/info.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hyt.dataset.layout import ACTION, IMAGES, STATE, CameraInfo, Layout, VectorInfo
from hyt.errors import DatasetError


@dataclass(frozen=True)
class FeatureMap:
    """Names of the dataset's features; `cameras` maps our camera names to features, None takes every RGB camera."""

    state: str = STATE
    action: str = ACTION
    cameras: Mapping[str, str] | None = None


@dataclass(frozen=True)
class CameraFeature:
    """Where a camera's images lie: the feature, and whether it is a video beside the data files."""

    info: CameraInfo
    feature: str
    video: bool


def read_layout(info: Mapping[str, Any], names: FeatureMap, where: str) -> tuple[Layout, tuple[CameraFeature, ...]]:
    """The layout that `info` describes; raises DatasetError naming the feature that does not fit."""
    table = info.get("features")
    if not isinstance(table, dict) or not all(isinstance(feature, dict) for feature in table.values()):
        raise DatasetError(f"{where}, features", expected="an object of features", received=f"{type(table).__name__}")
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not fps > 0:
        raise DatasetError(f"{where}, fps", expected="a positive number", received=f"{fps!r}")
    cameras = tuple(_camera(name, key, table, where) for name, key in _chosen(table, names, where).items())
    layout = Layout(
        fps=float(fps),
        cameras=tuple(camera.info for camera in cameras),
        state=_vector(names.state, table, where, "--state FEATURE"),
        action=_vector(names.action, table, where, "--action FEATURE"),
        robot=str(info.get("robot_type") or ""),
    )
    return layout, cameras


def _chosen(table: Mapping[str, Any], names: FeatureMap, where: str) -> dict[str, str]:
    """Feature by camera name: those asked for, or all with three colours."""
    if names.cameras is not None:
        return dict(names.cameras)
    found = {
        key.removeprefix(IMAGES): key
        for key, feature in table.items()
        if feature.get("dtype") in ("image", "video") and 3 in (feature.get("shape") or ()) and not _is_depth(feature)
    }
    if not found:
        raise DatasetError(f"{where}, features", expected="at least one camera", received="none")
    return found


def _is_depth(feature: Mapping[str, Any]) -> bool:
    notes = {**(feature.get("video_info") or {}), **(feature.get("info") or {})}
    return bool(notes.get("is_depth_map") or notes.get("video.is_depth_map"))


def _named(key: str, table: Mapping[str, Any], where: str, option: str) -> Mapping[str, Any]:
    if key not in table:
        raise DatasetError(
            f"{where}, feature {key}",
            expected=f"one of {', '.join(table)}",
            received="no such",
            remedy=f"name one by {option}",
        )
    feature: Mapping[str, Any] = table[key]
    return feature


def _camera(name: str, key: str, table: Mapping[str, Any], where: str) -> CameraFeature:
    feature = _named(key, table, where, "--camera NAME=FEATURE")
    kind, shape, axes = feature.get("dtype"), feature.get("shape"), feature.get("names")
    if kind not in ("image", "video"):
        raise DatasetError(f"{where}, feature {key}", expected="dtype image or video", received=f"{kind}")
    if (
        not isinstance(shape, list)
        or len(shape) != 3
        or not all(type(size) is int and size > 0 for size in shape)
        or 3 not in (shape[0], shape[2])
    ):
        raise DatasetError(f"{where}, feature {key}", expected="a shape of height, width and 3", received=f"{shape}")
    first = isinstance(axes, list) and "channel" in str(axes[:1])
    height, width = shape[1:] if first or shape[2] != 3 else shape[:2]
    return CameraFeature(CameraInfo(name, height, width), key, kind == "video")


def _vector(key: str, table: Mapping[str, Any], where: str, option: str) -> VectorInfo:
    feature = _named(key, table, where, option)
    shape, kind = feature.get("shape"), str(feature.get("dtype"))
    numeric = kind.startswith(("float", "int", "uint"))
    if not numeric or not isinstance(shape, list) or len(shape) != 1 or type(shape[0]) is not int or shape[0] < 1:
        raise DatasetError(
            f"{where}, feature {key}", expected="a vector of numbers", received=f"dtype {kind}, shape {shape}"
        )
    return VectorInfo(
        _labels(feature.get("names"), shape[0]) or tuple(f"{key}_{i}" for i in range(shape[0])),
        _labels(feature.get("units"), shape[0]) or ("",) * shape[0],
    )


def _labels(value: Any, count: int) -> tuple[str, ...]:
    """`count` labels from a list, or from LeRobot's {"motors": [...]}; empty when there are not so many."""
    if isinstance(value, dict):
        value = [label for part in value.values() if isinstance(part, list) for label in part] or list(value)
    labels = tuple(str(label) for label in value) if isinstance(value, list) else ()
    return labels if len(labels) == count else ()
