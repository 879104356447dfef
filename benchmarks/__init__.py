"""One module a claim; each prints a ratio against a limit or a peer, in one run."""

from pipeline.runtime.entry import shorten_spinning

shorten_spinning()  # before torch, as in every stage
