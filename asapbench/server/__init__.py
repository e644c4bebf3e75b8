"""`asapbench serve`: the page of a database over HTTP, read-only, refreshed while a run writes.

`live_page` renders when the database has changed, `app` answers requests, `serving` listens.
"""
