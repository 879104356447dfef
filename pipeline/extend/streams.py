"""The draws of an extension, numbered apart from those of `pipeline.randomness`, with which they share the seed."""

from enum import IntEnum, unique


@unique
class Stream(IntEnum):
    """Purposes of one seed's draws; 40 and up, which `pipeline.randomness.Stream` leaves free."""

    LATENTS = 40  # from which the latents of the targets start
    NOISE = 41  # added to them in a step
    ROWS = 42  # targets of a step
    TARGET_WARPS = 43  # of the images that a generator is fitted to
    TRAINING_WARPS = 44  # of the images that a classifier learns from
