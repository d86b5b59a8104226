"""What goes into a policy's matrices, gathered by `Inputs` and added up here row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from checkpoints import Checkpoint, make_contract
from observed import write_observations

from hyt.export.calibration import read_calibration
from hyt.export.draft import open_draft
from hyt.export.inputs import GENERATED, GRAM_BYTES, Inputs
from hyt.export.parity import ask
from hyt.export.reference import Reference
from hyt.export.statement import Statement
from hyt.runtime.policy import Policy


def test_a_generated_row_counts_more_often_than_one_of_the_prefix(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    data = write_observations(tmp_path / "data", make_contract())
    (tmp_path / "float").mkdir()
    with open_draft(tiny_checkpoint.path, Statement(), 32) as draft:
        samples = read_calibration(data, draft.model.contract, 3)
        reference = Reference(draft, tmp_path / "float", samples, 1)
        plans = [plan for plan in draft.plans if plan.role == "linear"]
        backend = reference.open(own_kernels=False)
        with Policy(backend.bundle, backend) as policy:
            inputs = Inputs(policy, backend, samples.fit, plans, gram=lambda plan: True, memory=GRAM_BYTES)
            ours = inputs("blk.0.ffn_down.weight")
            rows: list[np.ndarray] = []
            backend.watch(lambda name, values: rows.append(values) if name == "blk.0.ffn_down.weight" else None)
            ask(policy, samples.fit)
    assert ours is not None
    assert min(map(len, rows)) == 1 < max(map(len, rows))
    wide = [part.astype(np.float64) * (GENERATED if len(part) == 1 else 1) ** 0.5 for part in rows]
    assert ours.count == sum(len(part) * (GENERATED if len(part) == 1 else 1) for part in rows)
    np.testing.assert_allclose(ours.gram, sum(part.T @ part for part in wide), rtol=1e-4, atol=1e-3)
