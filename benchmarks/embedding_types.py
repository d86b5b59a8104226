"""Which type of token embedding does a policy of PaliGemma 2's widths notice? Agreement with float32 on random weights.

    python benchmarks/embedding_types.py DIR [--observations 50] [--json FILE]

A tied embedding is read twice: as what tokens mean and as the rows that score them. The model has the decoder widths of
PaliGemma 2 3B, `--layers` of its 26 layers, a small image encoder and a small vocabulary (no row of an embedding meets
another). Each type is exported twice, beside float32 and beside Q4_0 matrices, and acts on the same observations: noise
as image and state. Told are the share of action tokens that float32 says too, the error of the actions in bins, and the
bytes of an embedding of 257,216 rows. On random weights near ties are common, so a trained policy agrees more often.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from command import exit_code
from make_random_checkpoint import ACTION_BINS, SHAPES, write_checkpoint

import hyt
from hyt.export.exporter import export_bundle
from hyt.export.quantization import stored_size
from hyt.runtime.cli.bench import random_observation
from hyt.runtime.cli.output import write_json

PUBLISHED = SHAPES["paligemma2-3b"]
TYPES = ("f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0")
MATRICES = ("f32", "q4_0")


def tokens_of(bundle: Path, observations: int, threads: int) -> np.ndarray:
    """Action tokens, int32 (observations, tokens of a chunk)."""
    with hyt.load(bundle, threads=threads) as policy:
        policy.reset(instruction=policy.contract.instructions[0])
        rows = [policy.act(random_observation(policy.contract, seed)).tokens for seed in range(observations)]
    return np.array(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Agreement with float32 by the type of the token embedding.")
    parser.add_argument("work", type=Path, metavar="DIR", help="folder for checkpoint and bundles, 4 GB")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--observations", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    shape = replace(
        PUBLISHED, name="embedding-study", layers=options.layers, vocab=options.vocabulary, image=56, vision_layers=1
    )
    checkpoint, bundle = options.work / "study", options.work / "study.hyt"
    write_checkpoint(checkpoint, shape)
    reference: np.ndarray | None = None
    rows: list[dict[str, Any]] = []
    print("embedding  matrices  agreement  mean error in bins  bytes of 257,216 rows")
    for matrices in MATRICES:
        for embedding in ("f32", *TYPES):
            export_bundle(checkpoint, bundle, quantization=matrices, embedding_type=embedding, force=True)
            tokens = tokens_of(bundle, options.observations, options.threads)
            if reference is None:
                reference = tokens
            size = stored_size(embedding, (PUBLISHED.vocab, PUBLISHED.hidden))
            agreement, error = float((tokens == reference).mean()), float(np.abs(tokens - reference).mean())
            rows.append(
                {
                    "embedding": embedding,
                    "matrices": matrices,
                    "agreement": round(agreement, 4),
                    "mean_error_bins": round(error, 3),
                    "embedding_bytes": size,
                }
            )
            print(f"{embedding:<9}  {matrices:<8}  {agreement:9.1%}  {error:18.2f}  {size / 1e6:18.0f} MB", flush=True)
    shutil.rmtree(checkpoint)
    shutil.rmtree(bundle)
    if options.json is not None:
        write_json(options.json, {"layers": options.layers, "bins": ACTION_BINS, "rows": rows})


if __name__ == "__main__":
    sys.exit(exit_code(main))
