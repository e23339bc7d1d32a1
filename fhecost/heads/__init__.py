"""Attention heads on integers: each variant's operations once, for any kind of operators."""
