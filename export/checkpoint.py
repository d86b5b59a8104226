"""Opens a checkpoint directory: config.json, tokenizer.json, weights in one file or shards, small heads, hyt.json."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyt.errors import CheckpointError
from hyt.export.safetensors_file import SafetensorsFile, TensorEntry
from hyt.runtime.bundle import describe_file
from hyt.runtime.contract import Contract, parse_contract
from hyt.runtime.json_file import read_json

WEIGHTS = "model.safetensors"
GATE = "gate.safetensors"
DRAFT = "draft.safetensors"
INDEX = "model.safetensors.index.json"
ACTION_HEAD = "action_head.safetensors"
_JSON_LIMIT = 64 * 2**20
_REMEDY = "name a directory that hyt-train or save_pretrained wrote"


class Checkpoint:
    """An open checkpoint; tensors are found by name whichever shard holds them. Raises CheckpointError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._read: dict[str, Path] = {}  # JSON files beside config.json that the export depends on
        if not self.path.is_dir():
            received = "a file" if self.path.exists() else "no such directory"
            raise CheckpointError(str(path), expected="a checkpoint directory", received=received, remedy=_REMEDY)
        for name in ("config.json", "tokenizer.json"):
            if not (self.path / name).is_file():
                raise CheckpointError(str(path), expected=f"{name} in it", received="none", remedy=_REMEDY)
        self.config: Any = read_json(self.path / "config.json", _JSON_LIMIT, CheckpointError)
        self.contract: Contract | None = None
        if (contract_path := self.path / "hyt.json").exists():
            self.contract = parse_contract(self.read_json("hyt.json"), str(contract_path))
        self.tokenizer_path = self.path / "tokenizer.json"
        self.head_paths = self._find_heads()
        shards, weight_map = self._find_shards()
        self._weight_files = shards
        self._holder: dict[str, SafetensorsFile] = {}
        with ExitStack() as stack:
            for shard in shards:
                file = stack.enter_context(SafetensorsFile(shard))
                self._add(file, weight_map)
            if weight_map is not None and (missing := sorted(set(weight_map) - set(self._holder))):
                raise self._bad(INDEX, f"tensor {missing[0]!r} in {weight_map[missing[0]]}", "none")
            self._stack = stack.pop_all()

    def read_json(self, name: str) -> Any:
        """Content of another JSON file of the checkpoint, None where there is none; raises CheckpointError."""
        path = self.path / name
        if not path.exists():
            return None
        self._read[name] = path
        return read_json(path, _JSON_LIMIT, CheckpointError)

    def close(self) -> None:
        """Close the weight files."""
        self._stack.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def tensors(self) -> dict[str, TensorEntry]:
        """Dtype, shape and place of every tensor by name."""
        return {name: file.entries[name] for name, file in self._holder.items()}

    def read_rows(self, name: str, first: int, count: int) -> NDArray[np.float32]:
        """Rows of a tensor seen as (shape[0], rest), float32 (count, rest); raises CheckpointError unless finite."""
        return finite_rows(self._holder[name], name, first, count)

    def sha256(self) -> str:
        """One hash over the names and contents of all files that the export reads."""
        names = [self.path / "config.json", self.tokenizer_path, *self._read.values(), *self._weight_files]
        names += self.head_paths
        digest = hashlib.sha256()
        for path in sorted(names):
            digest.update(f"{path.name} {describe_file(path).sha256}\n".encode())
        return digest.hexdigest()

    def _find_heads(self) -> list[Path]:
        """The files of the heads that hyt.json names; each must be there, and no other."""
        contract = self.contract
        kind = "tokens" if contract is None else contract.action.kind
        gate, draft = (None, None) if contract is None else (contract.gate, contract.draft)
        named = {
            ACTION_HEAD: (kind == "continuous", f"a policy whose hyt.json says action.kind {kind!r}"),
            GATE: (gate is not None, f"a policy whose hyt.json has {'no' if gate is None else 'a'} gate"),
            DRAFT: (draft is not None, f"a policy whose hyt.json has {'no' if draft is None else 'a'} draft head"),
        }
        for name, (wanted, whose) in named.items():
            if (there := (self.path / name).exists()) != wanted:
                expected = f"to be {'there for' if wanted else 'left out of'} {whose}"
                raise self._bad(name, expected, "it is there" if there else "none")
        return [self.path / name for name, (wanted, _) in named.items() if wanted]

    def _find_shards(self) -> tuple[list[Path], dict[str, str] | None]:
        single, index = self.path / WEIGHTS, self.path / INDEX
        if single.exists() and index.exists():
            raise self._bad("weights", f"either {WEIGHTS} or {INDEX}", "both")
        if single.exists():
            return [single], None
        if not index.exists():
            raise self._bad("weights", f"{WEIGHTS} or {INDEX}", "neither")
        data = read_json(index, _JSON_LIMIT, CheckpointError)
        weight_map = data.get("weight_map") if isinstance(data, dict) else None
        if not isinstance(weight_map, dict) or not weight_map:
            raise self._bad(INDEX, "a weight_map of tensor names", "none")
        for file in weight_map.values():
            if not isinstance(file, str) or not file.endswith(".safetensors") or Path(file).name != file:
                raise self._bad(INDEX, "names of safetensors files beside it", repr(file)[:80])
        return [self.path / file for file in sorted(set(weight_map.values()))], weight_map

    def _add(self, file: SafetensorsFile, weight_map: dict[str, str] | None) -> None:
        for name in file.entries:
            if weight_map is not None and weight_map.get(name) != file.path.name:
                raise self._bad(INDEX, f"tensor {name[:120]!r} to be listed in {file.path.name}", "it is not")
            self._holder[name] = file

    def _bad(self, what: str, expected: str, received: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: {what}", expected=expected, received=received, remedy=_REMEDY)


def finite_rows(file: SafetensorsFile, name: str, first: int, count: int) -> NDArray[np.float32]:
    """Rows of a tensor of `file` as float32 (count, rest); raises CheckpointError unless all are finite."""
    rows = file.read_rows(name, first, count)
    if not np.isfinite(rows).all():
        raise CheckpointError(
            f"{file.path.parent}: tensor {name!r}", expected="finite weights", received="NaN or infinity"
        )
    return rows
