"""One script a stage; see dvc.yaml."""

import os
import sys

from pipeline.runtime import die_with_parent

# Two things here happen on import, because they must before torch is loaded. OpenMP reads then that a thread which
# waits spins only briefly: by default it spins on, and two jobs that share their cores all but stop each other
# (`python -m benchmarks.contention`). And a dvc that is killed while torch is loading, for seconds, must take the
# stage with it; `-m` is what Python calls a command line whose module it has yet to find. A dvc that died before
# that left the stage to a process of another session.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
if sys.argv[0] == "-m":
    die_with_parent()
    if "DVC_STAGE" in os.environ and os.getsid(os.getppid()) != os.getsid(0):
        sys.exit("error: the dvc that started this stage is dead; run `dvc repro` again")
