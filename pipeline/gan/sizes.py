"""What a GAN's training takes at the very least, asked before anything is allocated."""

import torch

from pipeline.gan.networks import BUILDS, ImageShape
from pipeline.params.schema import GanParams
from pipeline.runtime.resources import need_memory

FLOAT = 4  # bytes
COPIES = 4  # of every weight: itself, its gradient and Adam's two moments
KEPT = 2  # the images of a small CAS, as drawn and as trained on


def check_room(gan: GanParams, shape: ImageShape) -> None:
    """Refuses values with which no step could be made; networks of the user's are not looked at.

    Raises:
        UserError: networks, a batch, or the images of a small CAS take more memory than there is.
    """
    pixels = shape.size**2 * shape.channels
    named = f"params.yaml: gan.{gan.recipe}.width {gan.values.width} and latent_dim {gan.values.latent_dim}"
    if not gan.networks:
        with torch.device("meta"):
            pair = BUILDS[gan.recipe](gan.values.latent_dim, gan.values.width, shape)
        weights = sum(weight.numel() for network in pair for weight in network.parameters())
        need_memory(COPIES * FLOAT * weights, named, "lower them")
    batch = 2 * gan.batch_size * (pixels + gan.values.latent_dim) * FLOAT  # real and generated images, and z of both
    need_memory(batch, f"params.yaml: gan.batch_size {gan.batch_size}", "lower it")
    cas = KEPT * gan.health.cas_images * pixels
    need_memory(cas, f"params.yaml: gan.health.cas_images {gan.health.cas_images}", "lower it")
