"""Plain torch modules. They know nothing of rules; one definition serves every rule."""

from asapbench.models.build import build, initialise

__all__ = ["build", "initialise"]
