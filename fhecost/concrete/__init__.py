"""All that knows Concrete: compiling circuits, and reading circuit profiles from them."""
