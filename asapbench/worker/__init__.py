"""Worker processes: their protocol, start-up, supervision and end."""
