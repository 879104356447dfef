"""How learning rate, penalty and moving average change in the course of training, and with its restarts."""

from pipeline.params.schema import GanParams


def learning_rate(gan: GanParams, step: int, restarts: int) -> float:
    """The recipe's rate, linear to 0 over the last `decay_percent` of the steps; every restart halves it."""
    decay = 1.0
    if gan.values.decay_percent:
        decay = min(1.0, (gan.steps - step) / (gan.steps * gan.values.decay_percent / 100))
    return gan.values.learning_rate * decay * 0.5**restarts


def penalty_factor(restarts: int) -> float:
    """From the second restart on, each makes the gradient penalty three times as strong."""
    return 3.0 ** max(0, restarts - 1)


def ema_decay(batch_size: int, images_seen: int, half_life_images: int, rampup: float) -> float:
    """Factor that keeps half of a weight's part after `half_life_images` images.

    Early on the half-life is capped at `rampup` times the images seen (Karras et al. 2020, ADA, appendix C).
    """
    half_life = min(float(half_life_images), rampup * images_seen) if rampup else float(half_life_images)
    return float(0.5 ** (batch_size / max(half_life, 1e-8)))
