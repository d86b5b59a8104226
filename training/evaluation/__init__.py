"""Evaluation: policies in closed loop over tasks, modes and seeds, in parallel, resumable, with intervals.

entries.py   what is evaluated: bundles, and checkpoints exported on the fly
modes.py     the ways to ask a policy, and how one episode of each is run
worker.py    one process: its policies, its robot, one episode at a time
log.py       one JSON line an episode, so that a killed evaluation goes on
run.py       the jobs, in parallel
summary.py   counts, Wilson intervals, latencies, paired comparisons
table.py     the same for a person
"""
