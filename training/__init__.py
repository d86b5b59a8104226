"""Hybrid training of small policies: data, objective, evaluation."""
