"""Reading a dataset: a sequence of decisions in any order, streamed from disk in bounded memory.

Opening reads the metadata and the footers of the data files. A decision then costs one row group, unless that is among
the last used ones, of which at most `cache_bytes` are kept (encoded, so that a gigabyte holds some hundred thousand
small images), and decoding its images. Datasets that `split` and `select` cut out of one share its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hyt.dataset.blocks import Block, BlockReader
from hyt.dataset.episode import Decision, EpisodeInfo
from hyt.dataset.features import FeatureMap
from hyt.dataset.images import decode_image
from hyt.dataset.layout import ACTION, IMAGES, INSTRUCTION, STATE, SUB_INSTRUCTION, THOUGHT, DatasetInfo
from hyt.dataset.metadata import Metadata, read_metadata
from hyt.dataset.statistics import FeatureStatistics, Statistics, from_json, measure
from hyt.dataset.video import VideoReader
from hyt.errors import DatasetError, InputError

CACHE_BYTES = 1_000_000_000
"""Row groups kept in memory when nothing else is asked for."""


class Dataset(Sequence[Decision]):
    """Decisions of some episodes of a dataset; made by `open_dataset`."""

    def __init__(self, source: _Source, episodes: npt.NDArray[np.int64], chunk_steps: int) -> None:
        self._source = source
        self._episodes = episodes
        self._ends = np.cumsum([source.metadata.episodes[int(e)].length for e in episodes])
        layout = source.metadata.layout
        self.info = DatasetInfo(
            **{name: getattr(layout, name) for name in ("fps", "cameras", "state", "action", "robot")},
            episodes=len(episodes),
            frames=len(self),
            chunk_steps=chunk_steps,
        )

    @property
    def statistics(self) -> Statistics:
        """Statistics of the whole dataset on disk, whatever part of it this is."""
        return self._source.statistics

    @property
    def episodes(self) -> tuple[EpisodeInfo, ...]:
        """What the metadata says of these episodes."""
        return tuple(self._source.metadata.episodes[int(episode)] for episode in self._episodes)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Decision:  # type: ignore[override]  # no slices: they would not stream
        """One decision; raises IndexError outside of the sequence, DatasetError when its rows are damaged."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"decision {index} of {count}")
        number = int(np.searchsorted(self._ends, index % count, side="right"))
        frame = index % count - (int(self._ends[number - 1]) if number else 0)
        return self._source.decision(int(self._episodes[number]), frame, self.info.chunk_steps)

    def select(self, episodes: Sequence[int]) -> Dataset:
        """The part of this dataset with these episodes: positions in `self.episodes`."""
        return Dataset(self._source, self._episodes[np.asarray(episodes, np.int64)], self.info.chunk_steps)

    def split(self, held_out_every: int = 25) -> tuple[Dataset, Dataset]:
        """Episodes for training and those held out: every so many-th of the dataset on disk."""
        held = self._episodes % held_out_every == held_out_every - 1
        positions = np.arange(len(held))
        return self.select(positions[~held].tolist()), self.select(positions[held].tolist())


def open_dataset(
    path: Path, *, chunk_steps: int = 1, features: FeatureMap | None = None, cache_bytes: int = CACHE_BYTES
) -> Dataset:
    """The LeRobotDataset (v3.0, or v2.1) in `path`.

    `chunk_steps` is the number of steps of each decision's action chunk. `features` names the state, the action and the
    cameras where they are not `observation.state`, `action` and all. Raises DatasetError for a folder that is damaged
    or laid out otherwise than its metadata say, and MissingDependencyError when its cameras are videos without PyAV.
    """
    if chunk_steps < 1:
        raise InputError("chunk_steps", expected="at least 1", received=f"{chunk_steps}")
    source = _Source(read_metadata(Path(path), features or FeatureMap()), cache_bytes)
    return Dataset(source, np.arange(len(source.metadata.episodes)), chunk_steps)


class _Source:
    """A dataset on disk: what all parts of it share."""

    def __init__(self, metadata: Metadata, cache_bytes: int) -> None:
        self.metadata = metadata
        self._blocks = BlockReader(metadata, cache_bytes)
        self._videos = VideoReader()
        self._statistics: Statistics | None = None
        for camera in metadata.cameras:  # a missing decoder or video shows now, not in the middle of training
            if camera.video:
                self._image(camera.info.name, 0, 0, None, 0)

    @property
    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = self._read_statistics()
        return self._statistics

    def decision(self, episode: int, frame: int, steps: int) -> Decision:
        metadata = self.metadata
        file, first = int(metadata.file_of[episode]), int(metadata.row_of[episode])
        block = self._block(file, first + frame, episode, frame)
        row = first + frame - block.first
        task = metadata.tasks.get(int(block.task_index[row]))
        if task is None:
            raise DatasetError(
                f"{metadata.files[file]}, task_index",
                expected=f"one of the {len(metadata.tasks)} tasks",
                received=f"{block.task_index[row]}",
            )
        where = f"{metadata.files[file]}, row {first + frame}"
        images = {c.info.name: self._image(c.info.name, episode, frame, block, row) for c in metadata.cameras}
        return Decision(
            images=images,
            state=block.states[row].copy(),
            action=self._actions(file, episode, frame, steps, block),
            instruction=_text(block, INSTRUCTION, row, where) or task,
            thought=_text(block, THOUGHT, row, where),
            sub_instruction=_text(block, SUB_INSTRUCTION, row, where),
            task=task,
            episode=episode,
            index=frame,
        )

    def _block(self, file: int, row: int, episode: int, frame: int) -> Block:
        """The block of a row, which must be the frame of the episode that the metadata say."""
        block = self._blocks.block(file, row)
        at = row - block.first
        if (block.episode_index[at], block.frame_index[at]) != (episode, frame):
            raise DatasetError(
                f"{self.metadata.files[file]}, row {row}",
                expected=f"frame {frame} of episode {episode}, as meta/episodes says",
                received=f"frame {block.frame_index[at]} of episode {block.episode_index[at]}",
            )
        return block

    def _actions(self, file: int, episode: int, frame: int, steps: int, block: Block) -> npt.NDArray[np.float32]:
        """The actions (steps, D) from a frame on; past the end of the episode the last is repeated."""
        first, last = int(self.metadata.row_of[episode]), self.metadata.episodes[episode].length - 1
        actions = np.empty((steps, block.actions.shape[1]), np.float32)
        for step in range(steps):
            row = first + min(frame + step, last)
            if not block.first <= row < block.first + len(block):
                block = self._block(file, row, episode, min(frame + step, last))
            actions[step] = block.actions[row - block.first]
        return actions

    def _image(self, name: str, episode: int, frame: int, block: Block | None, row: int) -> npt.NDArray[np.uint8]:
        metadata = self.metadata
        camera = next(c for c in metadata.cameras if c.info.name == name)
        where = f"{metadata.root}, episode {episode}, frame {frame}"
        if block is not None and not camera.video:
            return decode_image(block.images[name][row].as_buffer(), camera.info, where)
        place = metadata.videos[name][episode]
        fps = metadata.layout.fps
        pixels = self._videos.frame(place.path, place.start + frame / fps, 0.5 / fps)
        if pixels.shape != (camera.info.height, camera.info.width, 3):
            raise DatasetError(
                f"{place.path}",
                expected=f"{camera.info.height} x {camera.info.width} pixels, as meta/info.json says",
                received=f"{pixels.shape[0]} x {pixels.shape[1]}",
            )
        return pixels

    def _read_statistics(self) -> Statistics:
        """From meta/stats.json; what older datasets do not tell of state and action is measured."""
        metadata = self.metadata
        names = {STATE: metadata.names.state, ACTION: metadata.names.action}
        names |= {IMAGES + camera.info.name: camera.feature for camera in metadata.cameras}
        sizes = {STATE: len(metadata.layout.state), ACTION: len(metadata.layout.action)}
        frames = sum(episode.length for episode in metadata.episodes)
        result: dict[str, FeatureStatistics] = {}
        for name, feature in names.items():
            where = f"{metadata.root}/meta/stats.json, {feature}"
            values = from_json(metadata.statistics[feature], where) if feature in metadata.statistics else None
            if values is None and name in sizes:
                values = measure(self._blocks.column(name, feature), frames)
            if values is None:
                continue
            if name in sizes and values.mean.shape != (sizes[name],):
                raise DatasetError(where, expected=f"{sizes[name]} numbers", received=f"{values.mean.shape}")
            result[name] = values
        return result


def _text(block: Block, name: str, row: int, where: str) -> str | None:
    """A text of a row; None where it is missing or empty."""
    column = block.texts.get(name)
    try:
        text = None if column is None else column[row].as_py()
    except UnicodeDecodeError as problem:
        raise DatasetError(f"{where}, feature {name}", expected="text in UTF-8", received=str(problem)) from None
    return str(text) if text else None
