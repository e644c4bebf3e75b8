"""Data sets: find, download, verify and read them, and form batches on the device.

Each module of `sets` is one data set. `dataset` says what every data set can do; `published` holds what those have in
common whose files are published. These and `files`, `cache` and `prepare` import no torch; `images` and `batches` do.
"""
