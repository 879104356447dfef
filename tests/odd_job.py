"""What tests/test_workers.py gives to workers: `python -m tests.odd_job WHAT` says who runs it, then does WHAT."""

import os
import signal
import sys
import time

if __name__ == "__main__":
    sys.stdout.write(f"{os.getpid()} {os.environ['DVC_STAGE']}\n")
    sys.stdout.flush()
    match sys.argv[1]:
        case "fail":
            sys.exit("no luck")
        case "divide":
            sys.exit(1 // 0)
        case "work":
            began = time.process_time()
            while time.process_time() < began + 0.3:
                pass
        case "sleep":
            time.sleep(0.3)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
