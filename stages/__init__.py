"""One script a stage; see dvc.yaml."""

import os

# The one thing here that happens on import, because OpenMP reads it when torch is loaded: a thread that waits
# spins only briefly. By default it spins on, and two jobs that share their cores all but stop each other
# (`python -m benchmarks.contention`).
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
