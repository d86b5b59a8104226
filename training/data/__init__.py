"""Training data on disk, as LeRobotDataset v3 (`docs/dataset.md`): written in parallel, read in any order."""

from hyt.training.data.dataset import Dataset, open_dataset
from hyt.training.data.episode import Decision, Episode, EpisodeInfo
from hyt.training.data.features import FeatureMap
from hyt.training.data.images import encode_png
from hyt.training.data.layout import CameraInfo, DatasetInfo, Layout, VectorInfo
from hyt.training.data.statistics import FeatureStatistics, Statistics
from hyt.training.data.writer import DatasetWriter

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
