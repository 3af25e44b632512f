"""Metrics and protocols: what a run or a model reaches, as numbers."""
