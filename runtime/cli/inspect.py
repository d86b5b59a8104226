"""hyt-run inspect: the manifest of a bundle for a person."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hyt.runtime.bundle import Bundle, open_bundle
from hyt.runtime.cli.loading import add_signature_option
from hyt.runtime.contract import Contract, ImageSegment, StateSegment, TextSegment
from hyt.runtime.manifest import Manifest, OnnxGraphs
from hyt.runtime.prompt import Prompt, read_tokenizer
from hyt.runtime.view.words import unit_suffix


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("inspect", help="verify a bundle and show its manifest")
    parser.add_argument("bundle", metavar="NAME.hyt", help="the policy")
    parser.add_argument("--json", action="store_true", help="print manifest.json instead")
    add_signature_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Verify the bundle and print its manifest."""
    bundle = open_bundle(options.bundle, require_signature=options.require_signature)
    if options.json:
        print(bundle.manifest.model_dump_json(indent=2))
        return
    console = Console(highlight=False)
    for title, rows in sections(bundle):
        table = Table(
            title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2)
        )
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(Text(name), Text(value))  # Text: names come from a file and are no markup
        console.print(table)
        console.print()


def sections(bundle: Bundle) -> list[tuple[str, list[tuple[str, str]]]]:
    """What is shown, as titled rows of name and value."""
    manifest, contract = bundle.manifest, bundle.contract
    return [
        ("policy", _policy(bundle)),
        ("model", _model(manifest)),
        ("prompt", list(_prompt(contract))),
        ("state", list(_state(contract))),
        ("action", list(_action(contract))),
        ("files (size and SHA-256 checked)", _files(bundle)),
        ("provenance", [(name, str(value)) for name, value in manifest.provenance.model_dump().items()]),
    ]


ROUNDED = {"plain": "weight by weight", "importance": "by importance", "gptq": "by GPTQ"}


def _policy(bundle: Bundle) -> list[tuple[str, str]]:
    manifest = bundle.manifest
    version = manifest.schema_version
    words = Prompt(manifest.contract, read_tokenizer(bundle.tokenizer, manifest.contract)).words()
    return [
        ("name", manifest.name),
        ("family", manifest.family),
        ("schema", f"{version.major}.{version.minor}"),
        ("signed by", "nobody" if bundle.signer is None else f"Ed25519 key {bundle.signer}"),
        ("quantisation", f"{manifest.quantization.requested}, rounded {ROUNDED[manifest.quantization.method]}"),
        ("instructions", "; ".join(manifest.contract.instructions) or "not listed"),
        ("words", "any" if words is None else " ".join(words)),
    ]


def _model(manifest: Manifest) -> list[tuple[str, str]]:
    text, vision = manifest.shapes.text, manifest.shapes.vision
    prefix = sum(manifest.image_tokens.values()) + manifest.contract.max_text_positions()
    return [
        (
            "decoder",
            f"{text.architecture}, {text.layers} layers, {text.hidden_size} wide, {text.heads} heads "
            f"({text.kv_heads} of keys and values) of {text.head_dim}, feed-forward {text.intermediate_size}, "
            f"vocabulary {text.vocab_size}, context {text.context_length}",
        ),
        ("prefix", f"{text.prefix_attention} attention, at most {prefix} positions"),
        *(
            (
                "vision",
                f"{tower.architecture}, {tower.layers} layers, {tower.hidden_size} wide, {tower.heads} heads, "
                f"{vision.image_size} pixels in patches of {tower.patch_size}: {vision.tokens} tokens",
            )
            for tower in vision.towers
        ),
        *(
            (f"tensors of {name}", ", ".join(f"{count} {type}" for type, count in types.items()))
            for name, types in manifest.quantization.types.items()
        ),
        *((("onnx graphs", _graphs(manifest.onnx)),) if manifest.onnx else ()),
        ("INT4 on this CPU", _kernels()),
        *(("padded", line) for line in manifest.quantization.padded),
        *(("fallback", line) for line in manifest.quantization.fallbacks),
    ]


def _graphs(graphs: OnnxGraphs) -> str:
    return f"{graphs.variant}, state of {len(graphs.state)} tensors, at most {graphs.cells} positions"


def _kernels() -> str:
    """Who multiplies INT4 matrices here."""
    from hyt.runtime import _core

    kernels = _core.system()["kernels"]
    assert isinstance(kernels, list)
    return f"own kernels, {kernels[0]}" if kernels else "ggml: no instructions for the core's own kernels"


def _prompt(contract: Contract) -> Iterable[tuple[str, str]]:
    cameras = {camera.name: camera for camera in contract.cameras}
    for segment in contract.prompt:
        if isinstance(segment, ImageSegment):
            camera = cameras[segment.camera]
            apart = f", oldest first, every {camera.frame_stride} decisions" if camera.frames > 1 else ""
            yield "image", f"camera {camera.name!r}, uint8 {camera.shape} RGB{apart}"
        elif isinstance(segment, TextSegment):
            yield "text", f"instruction or sub-instruction, at most {segment.max_tokens} tokens{_template(segment)}"
        elif isinstance(segment, StateSegment):
            yield "state", "one token a dimension"
        else:
            yield "token", str(segment.id)
    yield "tags", ", ".join(f"{name} {tag}" for name, tag in contract.modalities.named().items())
    if (thought := contract.thought) is not None:
        yield "thought", f"at most {thought.max_tokens} tokens up to token {thought.end_id}"
    if contract.gate is not None:
        yield "gate", f"{contract.gate.units} units, thinks from probability {contract.gate.threshold:g}"
    if contract.draft is not None:
        yield "draft", f"{contract.draft.units} units, guess the action behind its first token"


def _template(segment: TextSegment) -> str:
    template = "" if segment.template == "{}" else f", in {segment.template!r}"
    return template + (", in small letters" if segment.lowercase else "")


def _state(contract: Contract) -> Iterable[tuple[str, str]]:
    if contract.state is None:
        yield "none", ""
        return
    for dimension in contract.state.dimensions:
        yield (
            dimension.name,
            f"{dimension.low:g} to {dimension.high:g}{unit_suffix(dimension.unit)}, {contract.state.bins} bins",
        )


def _action(contract: Contract) -> Iterable[tuple[str, str]]:
    action = contract.action
    tokens = action.kind == "tokens"
    said = f"{len(action.token_ids)} bins" if tokens else f"continuous, {action.size} slots in one pass"
    yield "chunk", f"{action.steps} steps of {action.step_time * 1e3:g} ms, {said}"
    for dimension in action.dimensions:
        relative = "" if dimension.relative_to == "none" else f" relative to {dimension.relative_to.replace('_', ' ')}"
        yield (
            dimension.name,
            f"{dimension.low:g} to {dimension.high:g}{unit_suffix(dimension.unit)}, {dimension.semantics}{relative}, "
            f"frame {dimension.frame}",
        )


def _files(bundle: Bundle) -> list[tuple[str, str]]:
    return [
        (name, f"{entry.size / 2**20:.2f} MiB  {entry.sha256[:16]}...") for name, entry in bundle.manifest.files.items()
    ]
