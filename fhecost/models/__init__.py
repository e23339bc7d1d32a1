"""Language models by their shape alone."""
