"""Receivers of per-epoch metrics beside the database: CSV, TensorBoard, Weights & Biases, MLflow.

The database is the record. A sink shows what it holds, never more: epochs reach a sink after their commit, and what a
crash kept from it is sent by the next run. A sink that fails is switched off; training never waits for one.
"""
