"""``python -m fhecost``."""

from fhecost.cli import main

if __name__ == "__main__":
    main()
