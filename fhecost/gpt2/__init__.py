"""GPT-2 attention heads: float weights, quantized variants, and the models they come from."""
