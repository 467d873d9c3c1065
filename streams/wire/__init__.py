"""Bytes to columns and back: record batches and ticks in, signals and articles out."""
