"""Projections of an estimate: longer sequences, whole models, later years."""
