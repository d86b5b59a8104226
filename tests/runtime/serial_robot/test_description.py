"""robot.toml: what is refused, each in one line that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from robots import gantry_text

from hyt.errors import InputError
from hyt.runtime.serial_robot import read_description


def test_the_example_in_the_docstring_is_a_robot(tmp_path: Path) -> None:
    import hyt.runtime.serial_robot.description as description

    text = (description.__doc__ or "").partition("\n\n")[2]
    # The example shows [kinematics] beside what it stands in place of.
    text = text.partition("[kinematics]")[0] + "[[cameras]]" + text.partition("[[cameras]]")[2]
    (tmp_path / "robot.toml").write_text(text)
    robot = read_description(tmp_path / "robot.toml")
    assert (robot.robot.name, robot.axes[0].max_velocity, robot.cameras[0].max_age) == ("desk-arm", 2.0, 0.5)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[robot]\n", "[robot\n", "robot.toml; expected TOML; received"),
        ("tick_hz = 400", "tick_hz = 0", "key firmware.tick_hz; expected a valid description"),
        ("tick_hz = 400", 'tick_hz = "400"', "key firmware.tick_hz"),
        ("tick_hz = 400", "tick_hz = 400\nticks = 3", "key firmware.ticks"),
        ("low = -0.5", "low = 0.5", "key axes.0; expected a valid description; received low must be below high"),
        ("low = -0.5", "low = nan", "key axes.0.low"),
        ("low = -0.5", "low = -3000", "key axes.0.low"),
        ("max_velocity = 0\n", "", "key axes.0.max_velocity"),
        ('name = "y"\nunit', 'name = "x"\nunit', "axes: 'x' stands there twice"),
        ('name = "y"\nunit', 'name = "an axis too long for it"\nunit', "key axes.1.name"),
        ('dimension = "y"\naxis = "y"', 'dimension = "y"\naxis = "q"', "[[actions]] 'y' names no axis: 'q'"),
        ('dimension = "y"\naxis = "y"', 'dimension = "y"\naxis = "x"', "actions, axis: 'x' stands there twice"),
        ("scale = 0.5", "scale = 0", "key state.3.scale; expected a valid description; received scale must not be 0"),
        ("images:frames", "ftp:frames", "key cameras.0.source"),
        ("[[cameras]]", '[kinematics]\nactions = "a:b"\n[[cameras]]', "[[actions]] and kinematics.actions must not"),
        ("[[cameras]]", '[kinematics]\nactions = "a b"\n[[cameras]]', "key kinematics.actions"),
        ('stop_action = "hold"', 'stop_action = "explode"', "key firmware.stop_action"),
    ],
)
def test_a_bad_key_is_one_line_that_names_it(tmp_path: Path, before: str, after: str, said: str) -> None:
    text = gantry_text()
    assert before in text
    path = tmp_path / "robot.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(InputError) as caught:
        read_description(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_no_text_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.toml; expected a robot\.toml; received No such file"):
        read_description(tmp_path / "nothing.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="expected TOML"):
        read_description(tmp_path / "bytes.toml")
