"""Episodes on disk, as LeRobotDataset v3 (`docs/dataset.md`): written in parallel, read in any order."""

from hyt.dataset.episode import Decision, Episode, EpisodeInfo
from hyt.dataset.features import FeatureMap
from hyt.dataset.images import encode_png
from hyt.dataset.layout import CameraInfo, DatasetInfo, Layout, VectorInfo
from hyt.dataset.reader import Dataset, open_dataset
from hyt.dataset.statistics import FeatureStatistics, Statistics
from hyt.dataset.writer import DatasetWriter

__all__ = [
    "CameraInfo",
    "Dataset",
    "DatasetInfo",
    "DatasetWriter",
    "Decision",
    "Episode",
    "EpisodeInfo",
    "FeatureMap",
    "FeatureStatistics",
    "Layout",
    "Statistics",
    "VectorInfo",
    "encode_png",
    "open_dataset",
]
