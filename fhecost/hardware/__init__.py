"""Machines as data, and the latency models that turn a circuit profile into an estimate."""
