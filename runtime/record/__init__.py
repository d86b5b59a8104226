"""Recordings of drives: one MCAP file an episode (`format.py` is the specification), written beside the actions by
`Recorder`, read with bounds by `Recording`, and held against a policy by `replay`."""
