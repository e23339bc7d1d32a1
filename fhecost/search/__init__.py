"""Search for head settings: what is kept of the model against the latency on one machine."""
