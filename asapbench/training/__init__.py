"""Training of one cell: optimizer, schedule, precision, checkpoints, metrics. Nothing here knows of a database."""

CHECKPOINT_SUFFIX = ".checkpoint"

EVALUATED_TOGETHER = {"cpu": 250, "cuda": 2000, "mps": 1000}
"""Examples that one pass of an evaluation takes, by the device's type: part of what decides its last bits."""
