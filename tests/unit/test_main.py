"""The command by its other name: `python -m dagc`."""

from __future__ import annotations

import subprocess
import sys


def test_the_package_runs_as_a_module() -> None:
    """`ep 6 ; tp 4` share their GPUs: lcm(6, 4) = 12."""
    command = [sys.executable, "-m", "dagc", "check", "-e", "ep 6 ; tp 4", "--model", "deepseek-v3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "lcm(6, 4) = 12 GPUs" in done.stdout
    usage = subprocess.run([sys.executable, "-m", "dagc", "--help"], capture_output=True, text=True, check=True)
    assert usage.stdout.startswith("Usage: dagc [OPTIONS]")
