"""`asapbench` whose leases run out in seconds instead of a minute: all else is as it is."""

from asapbench.cli import main
from asapbench.scheduling import leases, runner

leases.STALE_SECONDS = 6.0
runner._LEASE_SECONDS = 1.0

if __name__ == "__main__":
    main()
