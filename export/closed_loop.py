"""Reads a closed-loop result, as `hyt-train evaluate --json` writes it, for the report of the bundle it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hyt.errors import InputError
from hyt.runtime.json_file import read_json
from hyt.runtime.manifest import Manifest

_JSON_LIMIT = 64 << 20
_REMEDY = "name the --json of hyt-train evaluate on this bundle"


def read_closed_loop(path: Path, manifest: Manifest) -> dict[str, Any]:
    """What `path` tells of the policy of a manifest: `seeds`, and of each mode what was solved, by task and in all.

    Raises InputError for a file that is no such result or is about other weights, another tokenizer or contract.
    """
    if not path.is_file():
        raise InputError(f"closed loop {path}", expected="a result", received="no such file", remedy=_REMEDY)
    data = read_json(path, _JSON_LIMIT, InputError)
    try:
        identities = {name: policy["identity"] for name, policy in data["policies"].items()}
        results = [result for result in data["results"] if identities[result["policy"]] == manifest.identity()]
        told = [{key: result[key] for key in ("mode", "tasks", "total")} for result in results]
        seeds = list(data["seeds"])
    except (AttributeError, KeyError, TypeError):
        raise InputError(
            f"closed loop {path}", expected="policies, results and seeds", received="none", remedy=_REMEDY
        ) from None
    if not told:
        raise InputError(
            f"closed loop {path}",
            expected=f"policy {manifest.identity()}, which this export gives",
            received=", ".join(sorted(map(str, identities.values()))),
            remedy=_REMEDY,
        )
    return {"command": "hyt-train evaluate", "seeds": seeds, "results": told}
