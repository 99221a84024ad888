"""`python -m dagc` is the command `dagc`."""

from dagc.cli.main import main

if __name__ == "__main__":
    main(prog_name="dagc")
