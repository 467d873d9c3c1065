"""Holding what workers wrote against what the log says: the proof that users can run on their own cluster."""
