"""Ends what Ray leaves behind when the process that started it is killed: its agents outlive it by minutes.

`python -m pipeline.orchestration.ray_reaper SESSION` waits until its stdin closes, which a kill -9 does too, and then
ends every process that names the folder of the session.
"""

import sys
from contextlib import suppress

import psutil


def main(session: str) -> None:
    """Waits for the end of stdin, then ends the processes of `session`."""
    sys.stdin.buffer.read()
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it may have ended meanwhile
            if process.pid != psutil.Process().pid and any(session in word for word in process.cmdline()):
                process.kill()


if __name__ == "__main__":
    main(sys.argv[1])
