"""Training of one cell: optimizer, schedule, precision, checkpoints, metrics. Nothing here knows of a database."""

CHECKPOINT_SUFFIX = ".checkpoint"
