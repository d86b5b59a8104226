"""Demonstrations of the simulated arm: what it shows and what its experts do, collected into a dataset."""
