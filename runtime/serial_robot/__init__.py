"""A real robot, described by a robot.toml: axes behind a HyT firmware, cameras, and how a policy's numbers map to them.

description.py  robot.toml as checked objects
fit.py          what must agree: the description with the policy's contract, and with the firmware
plan.py         a chunk -> absolute setpoints of every axis
kinematics.py   adapters for policies that speak of an end effector
robot.py        SerialRobot, a hyt.runtime.robot.Robot
"""

from hyt.runtime.serial_robot.description import Description, read_description
from hyt.runtime.serial_robot.kinematics import KinematicsRequest
from hyt.runtime.serial_robot.robot import SerialRobot

__all__ = ["Description", "KinematicsRequest", "SerialRobot", "read_description"]
