"""Looks at what a policy can be computed on: the devices of the installed ggml."""

from __future__ import annotations

from hyt.runtime.doctor.finding import Finding


def check_devices() -> list[Finding]:
    """One finding: all devices with their memory, or that the core does not load."""
    try:
        from hyt.runtime import _core
    except ImportError as problem:  # not built, or without the ggml libraries of llama-cpp-python
        return [Finding("devices", "wrong", f"no core: {problem}", "install hyt and llama-cpp-python again")]
    said = [
        f"{device['name']} ({device['description']}, {device['free_bytes'] / 2**30:.1f} GiB free)"
        for device in _core.devices()
    ]
    alone = "; docs/jetson.md says how others come in" if len(said) == 1 else ""
    return [Finding("devices", "good", ", ".join(said) + alone)]
