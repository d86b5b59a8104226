"""What `hyt-run doctor` looks at: the serial port, the computer, the bundle and the robot. It moves nothing."""

from hyt.runtime.doctor.finding import Finding, Level

__all__ = ["Finding", "Level"]
