"""A page on this machine on which what runs, and where, is picked, and every number moves along."""
