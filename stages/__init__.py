"""One script a stage; see dvc.yaml."""

import os
import sys

from pipeline.runtime.entry import LEAST_ADDRESS_SPACE, LIBRARIES, need_room_to_start, one_line
from pipeline.runtime.signals import die_with_parent

# Three things here happen on import, because they must before torch is loaded. OpenMP reads then that a thread which
# waits spins only briefly: by default it spins on, and two jobs that share their cores all but stop each other
# (`python -m benchmarks.contention`). And a dvc that is killed while torch is loading, for seconds, must take the
# stage with it; `-m` is what Python calls a command line whose module it has yet to find. A dvc that died before
# that left the stage to a process of another session.
# Where `ulimit -v` leaves no room for torch, the stage must say so before torch fails in its own words.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
if sys.argv[0] == "-m":
    die_with_parent()
    if "DVC_STAGE" in os.environ and os.getsid(os.getppid()) != os.getsid(0):
        sys.exit("error: the dvc that started this stage is dead; run `dvc repro` again")
    with one_line(next((word.rpartition("stages.")[2] for word in sys.orig_argv if "stages." in word), "benchmarks")):
        need_room_to_start(LEAST_ADDRESS_SPACE + LIBRARIES)
