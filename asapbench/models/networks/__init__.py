"""The modules themselves, in torch. They know nothing of rules; one definition serves every rule."""
