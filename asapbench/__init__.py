"""A benchmark suite for learning rules that train deep networks without weight transport."""

__version__ = "0.1.0"
