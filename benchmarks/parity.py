"""Compare a bundle's tokens with PyTorch on recorded observations of the simulated arm.

    python benchmarks/parity.py CHECKPOINT BUNDLE [--against BUNDLE] [--observations 1000] [--activations float32]

The reference is transformers with the weights that the bundle holds (dequantised by gguf-py). act, think and follow are
decoded by the core; the reference is then fed the same tokens and must make the same choice at every position where its
two best logits differ by more than twice the difference of the two logits (the measured error at that position). With
`--against`, the answers of the two bundles are compared as an export compares them (`hyt.export.parity`). Prints one
JSON line; exits with 1 when a choice differs above its margin.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from command import exit_code
from transformers import PaliGemmaForConditionalGeneration

import hyt
from hyt.dataset.images import decode_image
from hyt.export.calibration import Sample
from hyt.export.checkpoint import Checkpoint
from hyt.export.families import load_model
from hyt.export.parity import Parity, ask
from hyt.export.parity import compare as laid_side_by_side
from hyt.runtime.backends.core import CoreBackend
from hyt.runtime.bundle import open_bundle
from hyt.runtime.manifest import ACTIVATIONS
from hyt.simulation import seeds
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.tasks import TASKS
from hyt.training.data.arm import ARM
from hyt.training.data.collect import Disturbance, demonstrate
from hyt.training.network import target_logits
from hyt.training.packing import IMAGE_SLOT, Branch, Sequence, normalise, pack

Ids = npt.NDArray[np.int32]


@dataclass
class Tally:
    """Choices of one modality: how many, how many differ from the reference, and the largest logit error."""

    positions: int = 0
    differing: int = 0
    above_margin: int = 0
    largest_error: float = 0.0
    errors: list[float] = field(default_factory=list)


def record(count: int, instructions: tuple[str, ...]) -> list[Sample]:
    """`count` decisions of disturbed expert episodes on the validation seeds, spread over the policy's own tasks."""
    recorded: list[Sample] = []
    tasks = {name: task for name, task in TASKS.items() if task.instructions[0] in instructions}
    share = -(-count // len(tasks))
    for name, task in tasks.items():
        arm = MetaWorldArm(name)
        mine: list[Sample] = []
        for seed in seeds.VALIDATION:
            episode = demonstrate(arm, seed, Disturbance(episodes=1.0))
            for i in range(0 if episode is None else len(episode.states)):
                camera = ARM.cameras[0]
                image = decode_image(episode.images[camera.name][i], camera, f"seed {seed}")
                observation = hyt.Observation({camera.name: image}, episode.states[i])
                mine.append(Sample(task.instructions[0], episode.sub_instructions[i], observation))
            if len(mine) >= share:
                break
        arm.close()
        recorded += mine[:share]
    return recorded[:count]


def reference_model(checkpoint: Path, bundle: Path) -> Any:
    """transformers' model of the checkpoint with the bundle's weights, dequantised by gguf-py."""
    model = PaliGemmaForConditionalGeneration.from_pretrained(checkpoint, attn_implementation="eager").eval()
    parameters = dict(model.named_parameters())
    with Checkpoint(checkpoint) as source:
        placed = load_model(source)
    held = {t.name: t for part in ("language", "vision") for t in gguf.GGUFReader(bundle / f"{part}.gguf").tensors}
    with torch.no_grad():
        for plan in (*placed.language, *placed.vision):
            values = gguf.dequantize(held[plan.name].data, held[plan.name].tensor_type).astype(np.float32) - plan.add
            target = parameters[_parameter_name(plan.source, parameters)]
            target.copy_(torch.from_numpy(values.reshape(target.shape)))
    model.tie_weights()
    return model


def _parameter_name(source: str, parameters: dict[str, Any]) -> str:
    """transformers renames some saved tensors on loading: `language_model.model.x` becomes `model.language_model.x`."""
    if source in parameters:
        return source
    return "model." + source.replace("language_model.model.", "language_model.")


class Core:
    """A bundle's policy with its engine, so that tokens and logits come from the same weights."""

    def __init__(self, bundle: Path, threads: int, activations: str | None = None) -> None:
        opened = open_bundle(bundle)
        self.contract = opened.contract
        if self.contract.action.kind != "tokens":
            raise hyt.InputError("parity", expected="a policy with action tokens", received="a continuous one")
        self.backend = CoreBackend(opened, threads, activations=activations)
        self.policy = hyt.Policy(opened, self.backend)

    def layout(self, text: str, observation: hyt.Observation) -> Ids:
        """The prefix of one observation."""
        return self.policy.prompt.layout(self.policy.prompt.encode(text), observation.state)

    def decode(self, item: Sample) -> dict[str, tuple[Ids, list[int]]]:
        """Per modality: the prefix, and the tag with all tokens the core chose behind it."""
        decoded = {}
        for name, (answer,) in ask(self.policy, [item]).items():
            text = item.sub_instruction if name == "follow" else item.instruction
            thought = [*answer.thought.tolist(), self.contract.thought.end_id] if name == "think" else []
            said = [self.contract.modalities.named()[name], *thought, *answer.tokens.tolist()]
            decoded[name] = (self.layout(text, item.observation), said)
        return decoded


def compare(core: Core, model: Any, items: list[Sample], batch_size: int = 32) -> dict[str, Tally]:
    """Tallies of each modality over all items."""
    contract = core.contract
    camera = contract.cameras[0]
    actions = np.array(contract.action.token_ids)
    thoughts = np.setdiff1d(np.arange(contract.vocab_size), contract.thought.suppressed_ids)
    tallies = {name: Tally() for name in ("act", "think", "follow")}
    for start in range(0, len(items), batch_size):
        part = items[start : start + batch_size]
        decoded, logits = [], []
        for item in part:
            answers = core.decode(item)
            decoded.append(answers)
            logits.append({m: core.backend.logits(p, np.array(t[:-1], np.int32)) for m, (p, t) in answers.items()})
        pixels = normalise(np.stack([[i.observation.images["corner2"]] for i in part]), camera.mean, camera.std)
        slots = [IMAGE_SLOT] * (camera.height // model.config.vision_config.patch_size) ** 2
        for modality, tally in tallies.items():
            sequences = []
            for answers in decoded:
                prefix, tokens = answers[modality]
                branch = Branch(tokens[:-1], tokens[1:], [1.0] * (len(tokens) - 1))
                sequences.append(Sequence(slots + prefix[1:].tolist(), (branch,)))
            with torch.no_grad():
                reference = target_logits(model, pack(sequences, pixels)).numpy()
            first = 0
            for answers, ours in zip(decoded, logits, strict=True):
                tokens = answers[modality][1]
                theirs = reference[first : first + len(tokens) - 1]
                first += len(tokens) - 1
                free = len(tokens) - 1 - contract.action.tokens  # thought positions, with the end of the thought
                forced = modality == "think" and free == contract.thought.max_tokens + 1
                for position, chosen in enumerate(tokens[1:]):
                    if forced and position == free - 1:
                        continue  # a thought that is too long is ended, whatever the logits say
                    allowed = thoughts if position < free else actions
                    _count(tally, ours[modality][position][allowed], theirs[position][allowed], allowed, chosen)
    return tallies


def _count(
    tally: Tally,
    ours: npt.NDArray[np.float32],
    theirs: npt.NDArray[np.float32],
    allowed: npt.NDArray[np.int64],
    chosen: int,
) -> None:
    error = float(np.abs(ours - theirs).max())
    tally.positions += 1
    tally.errors.append(error)
    tally.largest_error = max(tally.largest_error, error)
    if int(allowed[theirs.argmax()]) != chosen:
        tally.differing += 1
        best, second = np.sort(theirs)[-1], np.sort(theirs)[-2]
        tally.above_margin += bool(best - second > 2 * error)


def parity(
    checkpoint: Path,
    bundle: Path,
    against: Path | None,
    observations: int,
    threads: int,
    activations: str | None = None,
) -> dict[str, Any]:
    """The comparison as JSON values."""
    torch.set_num_threads(threads)
    core = Core(bundle, threads, activations)
    items = record(observations, core.policy.contract.instructions)
    tallies = compare(core, reference_model(checkpoint, bundle), items)
    result: dict[str, Any] = {
        "observations": len(items),
        "bundle": core.policy.bundle.manifest.quantization.requested,
        "activations": activations or "int8",
        "modalities": {
            name: {
                "positions": tally.positions,
                "differing": tally.differing,
                "differing_above_margin": tally.above_margin,
                "largest_logit_error": round(tally.largest_error, 6),
                "mean_logit_error": round(float(np.mean(tally.errors)), 6),
            }
            for name, tally in tallies.items()
        },
    }
    if against is not None:
        answers = [ask(policy, items) for policy in (Core(against, threads).policy, core.policy)]
        modalities = laid_side_by_side(*answers, core.contract.action.dimensions)
        result["against"] = Parity("core", str(result["bundle"]), modalities).data()["modalities"]
    return result


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--observations", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--activations", choices=ACTIVATIONS, help="of the bundle's products (default int8)")
    options = parser.parse_args()
    result = parity(
        options.checkpoint, options.bundle, options.against, options.observations, options.threads, options.activations
    )
    print(json.dumps(result))
    return int(any(m["differing_above_margin"] for m in result["modalities"].values()))


if __name__ == "__main__":
    sys.exit(exit_code(main))
