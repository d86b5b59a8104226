"""Folders laid out as LeRobot itself writes them, by hand: v3.0 with images or videos, and v2.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyt.dataset import encode_png

FPS = 10
LENGTHS = (7, 5, 9)
JOINTS = ["shoulder", "elbow"]
SIZE = (48, 64)


def picture(episode: int, frame: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth image (48, 64, 3) whose brightness tells episode and frame apart, even after a video codec."""
    image = np.full((*SIZE, 3), 20 + 70 * episode + 6 * frame, np.uint8)
    image[:, : SIZE[1] // 2, 0] = 250 - image[0, 0, 0]
    return image


def state(episode: int, frame: int) -> list[float]:
    return [episode + 0.1 * frame, -frame]


def action(episode: int, frame: int) -> list[float]:
    return [frame, 10.0 * episode]


def write_v3(root: Path, *, video: bool = False, stats: bool = True) -> None:
    """Two data files, the first with two episodes in one row group, columns as Hugging Face `datasets` types them."""
    image = {"dtype": "video" if video else "image", "shape": [*SIZE, 3], "names": ["height", "width", "channels"]}
    if video:
        image["info"] = {"video.fps": FPS, "video.codec": "h264", "is_depth_map": False}
    _json(root / "meta/info.json", _info("v3.0", image, video))
    rows, start = [], 0
    for episode, length in enumerate(LENGTHS):
        row: dict[str, Any] = {
            "episode_index": episode,
            "data/chunk_index": 0,
            "data/file_index": int(episode == 2),
            "dataset_from_index": start,
            "dataset_to_index": start + length,
            "tasks": [f"task {episode % 2}"],
            "length": length,
            "stats/action/min": [0.0, 0.0],
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        if video:
            key = "videos/observation.images.top"
            first = sum(LENGTHS[:episode]) / FPS
            row |= {f"{key}/chunk_index": 0, f"{key}/file_index": 0}
            row |= {f"{key}/from_timestamp": first, f"{key}/to_timestamp": first + length / FPS}
        rows.append(row)
        start += length
    _parquet(root / "meta/episodes/chunk-000/file-000.parquet", pa.Table.from_pylist(rows))
    # pandas writes the texts as an unnamed index
    tasks = pa.table({"task_index": [0, 1], "__index_level_0__": ["task 0", "task 1"]})
    _parquet(root / "meta/tasks.parquet", tasks)
    if stats:  # without quantiles, as before LeRobot 0.4
        _json(root / "meta/stats.json", {"action": {"min": [0, 0], "max": [1, 1], "mean": [0, 0], "std": [1, 1]}})
    for file, episodes in enumerate([(0, 1), (2,)]):
        frames = [(e, f) for e in episodes for f in range(LENGTHS[e])]
        _parquet(root / f"data/chunk-000/file-{file:03d}.parquet", _table(frames, not video))
    if video:
        frames = [(e, f) for e in range(len(LENGTHS)) for f in range(LENGTHS[e])]
        write_video(root / "videos/observation.images.top/chunk-000/file-000.mp4", frames)


def write_v21(root: Path) -> None:
    """One data file and one video for each episode, metadata in lines of JSON."""
    image = {"dtype": "video", "shape": [3, *SIZE], "names": ["channels", "height", "width"]}
    _json(root / "meta/info.json", _info("v2.1", image, True))
    _lines(root / "meta/tasks.jsonl", [{"task_index": i, "task": f"task {i}"} for i in range(2)])
    _lines(
        root / "meta/episodes.jsonl",
        [{"episode_index": e, "tasks": [f"task {e % 2}"], "length": length} for e, length in enumerate(LENGTHS)],
    )
    for episode, length in enumerate(LENGTHS):
        frames = [(episode, frame) for frame in range(length)]
        _parquet(root / f"data/chunk-000/episode_{episode:06d}.parquet", _table(frames, False))
        write_video(root / f"videos/chunk-000/observation.images.top/episode_{episode:06d}.mp4", frames)


def write_video(path: Path, frames: list[tuple[int, int]]) -> None:
    """An mp4 of the frames' pictures, with few key frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for episode, frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(episode, frame), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _info(version: str, image: dict[str, Any], video: bool) -> dict[str, Any]:
    counter = {"dtype": "int64", "shape": [1], "names": None}
    old = version == "v2.1"
    info: dict[str, Any] = {
        "codebase_version": version,
        "robot_type": "arm",
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": 2,
        "chunks_size": 1000,
        "fps": FPS,
        "splits": {"train": f"0:{len(LENGTHS)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4" if video else None,
        "features": {
            "action": {"dtype": "float32", "shape": [2], "names": {"motors": JOINTS}},
            "observation.state": {"dtype": "float32", "shape": [2], "names": JOINTS},
            "observation.torque": {"dtype": "float64", "shape": [3], "names": None},
            "observation.images.top": image,
            "observation.images.depth": {
                "dtype": image["dtype"],
                "shape": [*SIZE, 3],
                "names": ["height", "width", "channels"],
                "info": {"is_depth_map": True},
            },
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
            **dict.fromkeys(["frame_index", "episode_index", "index", "task_index"], counter),
        },
    }
    if old:
        info["data_path"] = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
        info["video_path"] = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    return info


def _table(frames: list[tuple[int, int]], images: bool) -> pa.Table:
    first = sum(LENGTHS[: frames[0][0]])
    columns: dict[str, Any] = {
        "action": pa.array([action(*f) for f in frames], pa.list_(pa.float32(), 2)),
        "observation.state": pa.array([state(*f) for f in frames], pa.list_(pa.float32())),
        "observation.torque": pa.array([[1.0, 2.0, 3.0 + f] for _, f in frames], pa.list_(pa.float64(), 3)),
        "timestamp": pa.array([f / FPS for _, f in frames], pa.float32()),
        "frame_index": pa.array([f for _, f in frames]),
        "episode_index": pa.array([e for e, _ in frames]),
        "index": pa.array([first + i for i in range(len(frames))]),
        "task_index": pa.array([e % 2 for e, _ in frames]),
    }
    if images:
        pictures = [{"bytes": encode_png(picture(*f)), "path": f"frame-{f[1]:06d}.png"} for f in frames]
        columns["observation.images.top"] = pa.array(pictures)
    return pa.table(columns)


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4))


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _parquet(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
