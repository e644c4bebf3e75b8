"""One module per data set: its entry, its files with sizes and checksums, its downloads and its reader.

A module defines `entry`, a `dataset.Dataset`, and imports no torch. The catalog collects the entries.
"""
