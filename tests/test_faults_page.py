"""docs/faults.md says what happens when something fails; each of its rows names a test, and that test exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_fault_of_the_page_names_a_test_that_exists() -> None:
    rows = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")]
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    for row in rows:
        last = row.rstrip(" |").rpartition("|")[2].strip()
        assert last in ("test", "the same") or last.strip("`") in tests, row
    assert len(rows) > 15
