"""How much of the float model's behaviour a quantized, encrypted model keeps."""
