"""Tests of hyt.arguments: a usage error is one line with exit code 2, and number types name what they expect."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from hyt.arguments import Parser, above_zero, not_negative, share, whole


def test_a_usage_error_is_one_line_that_names_the_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="tool")
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("do")
    command.add_argument("--count", type=whole(1))
    for arguments, line in (
        ([], "tool: the following arguments are required: COMMAND (tool --help tells what there is)\n"),
        (
            ["do", "--count", "x"],
            "tool do: argument --count: expected a whole number of at least 1, received 'x' "
            "(tool do --help tells what there is)\n",
        ),
    ):
        with pytest.raises(SystemExit) as stopped:
            parser.parse_args(arguments)
        assert stopped.value.code == 2
        assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("read", "taken", "refused"),
    [
        (whole(0), {"0": 0, "12": 12}, ("-1", "1.5", "", "one", "nan")),
        (whole(1), {"1": 1}, ("0", "-3")),
        (whole(1, 8), {"1": 1, "8": 8}, ("0", "9", "x")),
        (above_zero, {"0.5": 0.5, "inf": float("inf")}, ("0", "-1", "nan", "", "x")),
        (not_negative, {"0": 0.0, "2e3": 2000.0}, ("-0.1", "nan", "x")),
        (share, {"0": 0.0, "1": 1.0, "0.25": 0.25}, ("1.1", "-0.1", "nan", "inf", "x")),
    ],
)
def test_numbers_out_of_range_are_refused_with_what_was_received(
    read: Callable[[str], float], taken: dict[str, float], refused: tuple[str, ...]
) -> None:
    assert {text: read(text) for text in taken} == taken
    for text in refused:
        with pytest.raises(argparse.ArgumentTypeError, match=f"^expected .*, received {text!r}$"):
            read(text)
