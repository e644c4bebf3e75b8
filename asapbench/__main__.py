"""`python -m asapbench` is the `asapbench` command."""

from asapbench.cli import main

if __name__ == "__main__":
    main()
