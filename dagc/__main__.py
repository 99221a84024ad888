"""`python -m dagc` is the command `dagc`."""

from dagc.cli.program import run

if __name__ == "__main__":
    run()
