"""The options of the subcommands that load a policy, and loading it as they say."""

from __future__ import annotations

import argparse
from pathlib import Path

from hyt.errors import InputError
from hyt.runtime.backends.core import KV_TYPES, SPECULATE
from hyt.runtime.contract import Contract
from hyt.runtime.manifest import ACTIVATIONS
from hyt.runtime.policy import BACKENDS, Policy, load


def add_loading_options(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default=BACKENDS[0],
        help="engine that computes the policy: our own, or onnxruntime over the bundle's ONNX graphs (default core)",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="what the core computes on: cpu, cuda, vulkan or a device that hyt-run doctor lists (default cpu)",
    )
    parser.add_argument("--provider", metavar="NAME", help="with --backend onnx: cpu, cuda or tensorrt (default cpu)")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of the engine (default: all physical cores but one, at most 8)"
    )
    parser.add_argument(
        "--kv",
        choices=KV_TYPES,
        default=KV_TYPES[0],
        help="type of keys and values; f16 takes half the memory (backend core)",
    )
    parser.add_argument(
        "--activations",
        choices=ACTIVATIONS,
        help="what quantised weights are multiplied with (default int8; float32 is exact and slower)",
    )
    parser.add_argument(
        "--mapped",
        action="store_true",
        help="leave large matrices in the bundle's files: little memory, but slower (backend core)",
    )
    parser.add_argument(
        "--speculate",
        choices=SPECULATE,
        default=SPECULATE[0],
        help="guess action tokens and check several a pass: where it pays, never, by the last action or the draft head",
    )
    add_signature_option(parser)


def add_signature_option(parser: argparse.ArgumentParser) -> None:
    """The option of every subcommand that opens a bundle."""
    parser.add_argument(
        "--require-signature",
        type=Path,
        metavar="PUBKEY",
        help="refuse a bundle that was not signed with this Ed25519 key (PEM)",
    )


def load_policy(options: argparse.Namespace) -> Policy:
    """The policy of `options.bundle`; raises what `hyt.load` raises."""
    return load(
        options.bundle,
        threads=options.threads,
        require_signature=options.require_signature,
        kv_type=options.kv,
        mapped=options.mapped,
        speculate=options.speculate,
        backend=options.backend,
        device=options.device,
        provider=options.provider,
        activations=options.activations,
        without=getattr(options, "without", ()),
    )


def instruction_from(options: argparse.Namespace, contract: Contract) -> str:
    """What `--instruction` says, else the first of the policy's own; raises InputError where it has none."""
    said: str | None = options.instruction
    instruction = next(iter(contract.instructions), None) if said is None else said
    if instruction is None:
        raise InputError("bench", expected="an instruction", received="none listed", remedy="give --instruction")
    return instruction
