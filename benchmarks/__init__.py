"""Measurements of Fiftytwo, each printed by one command."""
