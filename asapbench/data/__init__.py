"""Data sets: locate, download, verify and read them, and give device-resident batches.

`files` is free of torch, for dry runs and `doctor`; `images` reads, `batches` shuffles, augments and normalises.
"""
