"""Circuit profiles without compiling: counts by law, parameter sets from a table."""
