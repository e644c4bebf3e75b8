"""`asapbench` whose leases and patience run out in seconds instead of minutes: all else is as it is."""

from asapbench.cli import main
from asapbench.running import leases, runner
from asapbench.store import connect, store

connect.BUSY_SECONDS = 5.0
store.RETRY_SECONDS = 20.0
leases.STALE_SECONDS = 6.0
runner._LEASE_SECONDS = 1.0

if __name__ == "__main__":
    main()
