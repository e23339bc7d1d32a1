"""Circuits: their profiles, what they are of, and what their operations cost."""
