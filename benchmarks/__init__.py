"""One module a claim; each prints a ratio against a limit or a peer, in one run."""

import stages  # noqa: F401 - before torch: it sets how OpenMP waits, as in every stage
