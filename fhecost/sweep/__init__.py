"""Experiments: many points, computed here or on a cluster, whose results nothing loses."""
