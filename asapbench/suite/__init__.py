"""Suites: TOML text and the catalog in, frozen cells out. Nothing here imports torch."""
