"""`python -m dagc` is the command `dagc`."""

from dagc.cli.main import run

if __name__ == "__main__":
    run()
