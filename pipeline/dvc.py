"""Starts DVC as a command of its own."""

import subprocess
import sys
from contextlib import suppress

from pipeline.runtime import die_with_parent


def run_dvc(*arguments: str) -> int:
    """Runs `dvc ARGUMENTS`; Ctrl-C reaches DVC too, which is given the time to write dvc.lock to its end."""
    process = subprocess.Popen([sys.executable, "-m", "dvc", *arguments], preexec_fn=die_with_parent)
    while True:
        with suppress(KeyboardInterrupt):
            return process.wait()
