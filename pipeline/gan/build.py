"""Networks for `gan` params: the recipe's, or the user's own, checked before anything is trained."""

import torch
from torch import nn

from pipeline.gan.networks import ImageShape, Pair
from pipeline.gan.recipes import RECIPES, Build
from pipeline.params.schema import DcganParams, GanParams
from pipeline.runtime.errors import UserError
from pipeline.runtime.own_code import find_function
from pipeline.runtime.resources import need_memory

FLOAT_BYTES = 4
WEIGHT_COPIES = 4  # of every weight: itself, its gradient and Adam's two moments
CAS_COPIES = 2  # the images of a small CAS, as drawn and as trained on


def find_build(recipe: str, networks: str) -> Build:
    """What makes generator and discriminator: the user's `module:function`, or the recipe's where that is empty.

    Raises:
        UserError: the module or the function is not there.
    """
    if not networks:
        return RECIPES[recipe].build
    return find_function(networks, "gan.networks")


def build_networks(gan: GanParams, shape: ImageShape, *, seed: int) -> Pair:
    """Untrained generator and discriminator, drawn by `seed`.

    Raises:
        UserError: networks of the user's do not take or give what they should.
    """
    build = find_build(gan.recipe, gan.networks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pair = build(gan.values.latent_dim, gan.values.width, shape)
    if gan.networks:
        _check_networks(gan, *pair, shape)
    return pair


def need_training_memory(gan: GanParams, shape: ImageShape) -> None:
    """Refuses values with which no step could be made; networks of the user's are not looked at.

    Raises:
        ExhaustedError: networks, a batch, or the images of a small CAS take more memory than there is.
    """
    pixels = shape.size**2 * shape.channels
    if not gan.networks:
        with torch.device("meta"):
            pair = RECIPES[gan.recipe].build(gan.values.latent_dim, gan.values.width, shape)
        weights = sum(weight.numel() for network in pair for weight in network.parameters())
        keys = f"params.yaml: gan.{gan.recipe}.width {gan.values.width} and latent_dim {gan.values.latent_dim}"
        need_memory(WEIGHT_COPIES * FLOAT_BYTES * weights, keys, "lower them")
    batch = 2 * gan.batch_size * (pixels + gan.values.latent_dim) * FLOAT_BYTES  # real and generated images, and z
    need_memory(batch, f"params.yaml: gan.batch_size {gan.batch_size}", "lower it")
    cas = CAS_COPIES * gan.health.cas_images * pixels
    need_memory(cas, f"params.yaml: gan.health.cas_images {gan.health.cas_images}", "lower it")


@torch.no_grad()
def _check_networks(gan: GanParams, generator: nn.Module, discriminator: nn.Module, shape: ImageShape) -> None:
    """Passes two images through both, in evaluation mode so that no statistic moves."""
    where = f"params.yaml: gan.networks '{gan.networks}'"
    y = torch.zeros(2, dtype=torch.long)
    try:
        images = generator.eval()(torch.zeros(2, gan.values.latent_dim), y)
        logits, classes = discriminator.eval()(images, y)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{where}: a pass over two images failed: {type(error).__name__}: {reason}") from None
    finally:
        generator.train()
        discriminator.train()
    head = None if classes is None else tuple(classes.shape)
    found = {"images": tuple(images.shape), "logits": tuple(logits.shape), "class logits": head}
    wanted = {"images": (2, shape.channels, shape.size, shape.size), "logits": (2,)}
    if head or (not isinstance(gan.values, DcganParams) and gan.values.auxiliary_weight):
        wanted["class logits"] = (2, shape.num_classes)
    wrong = [f"{name} are {found[name]}, not {size}" for name, size in wanted.items() if found[name] != size]
    if wrong:
        raise UserError(f"{where}: for two images, {'; '.join(wrong)}")
