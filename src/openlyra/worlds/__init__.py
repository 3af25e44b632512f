"""Procedural worlds: an endless, seeded source of static scenes with exact ground truth."""
