"""What this machine really does: microbenchmarks, and constants fitted to them."""
