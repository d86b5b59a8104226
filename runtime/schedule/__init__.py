"""Acting and thinking in time: when a turn of the loop is due, when its chunk starts, and what fits in between."""

from hyt.runtime.schedule.limiter import Limits
from hyt.runtime.schedule.options import Schedule, Thinking

__all__ = ["Limits", "Schedule", "Thinking"]
