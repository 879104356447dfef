"""generator.json and discriminator.json: what rebuilds the networks, and how they were trained."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.files import Record, read_record
from pipeline.gan.networks import ImageShape
from pipeline.params.schema import GAN_SIZES, GanParams

AGAIN = "dvc repro train_gan"
Positive = Annotated[int, Field(ge=1, lt=2**31)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Literal["generator", "discriminator"]


def _one_of(*allowed: int) -> AfterValidator:
    def check(value: int) -> int:
        if value not in allowed:
            raise ValueError(f"is {value}, none of {allowed}")
        return value

    return AfterValidator(check)


class Transfer(Record):
    """What a training started from, where `gan.init_from` names a trained pair."""

    generator_sha256: Sha256
    """Of the old generator's weights file."""
    discriminator_sha256: Sha256
    """Of the old discriminator's."""
    classes: dict[str, str]
    """By class, the old class whose rows it started with."""


class GanDescription(Record):
    """The content of either file; networks and training are those of the pair."""

    recipe: Literal["r3", "hinge_sn", "dcgan"]
    """`gan.recipe`."""
    networks: str
    """`gan.networks`: the user's own networks as `module:function`; empty for the recipe's."""
    latent_dim: Positive
    """Dimensions of z."""
    width: Positive
    """Channels at the finest resolution."""
    image_size: Annotated[int, _one_of(*range(16, 257, 16))]
    """Side of the square images, in pixels."""
    channels: Annotated[int, _one_of(1, 3)]
    """1 for grey images, 3 for RGB."""
    class_names: Annotated[tuple[str, ...], Field(min_length=1)]
    """One name a class, in the order of the labels."""
    images_seen: Annotated[int, Field(ge=0)]
    """Real images in all steps up to the state that was kept."""
    restarts: Annotated[int, Field(ge=0)]
    """How often an alarm took training back to its best state."""
    degraded: bool
    """Whether alarms outlasted the restarts."""
    small_cas: Annotated[float, Field(ge=0, le=1)]
    """Accuracy on select of a small classifier trained on the kept state's images alone, a fraction."""
    seed: Annotated[int, Field(ge=0)]
    """The replicate: it drew the initial weights, latents, batches and augmentations."""
    transfer: Annotated[Transfer | None, Field(exclude_if=lambda value: value is None)] = None
    """What training started from; absent where it started from drawn weights."""

    @field_validator("class_names")
    @classmethod
    def _no_name_twice(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("has a name twice")
        return names

    @model_validator(mode="after")
    def _recipes_draw_this_size(self) -> Self:
        if not self.networks and self.image_size not in GAN_SIZES:
            raise ValueError(f"image_size is {self.image_size}, none of {GAN_SIZES}")
        return self

    @property
    def shape(self) -> ImageShape:
        """What the networks must know of the images."""
        return ImageShape(self.image_size, self.channels, len(self.class_names))

    def summary(self, gan: GanParams) -> str:
        """Which step was kept, and what went wrong on the way."""
        kept = f"kept step {self.images_seen // gan.batch_size} of {gan.steps}; {self.restarts} restarts"
        return kept + ("; DEGRADED: alarms outlasted them" if self.degraded else "")


def read_description(folder: Path, name: Name) -> GanDescription:
    """The description of the network `name` in `folder`.

    Raises:
        UserError: it is missing or corrupted.
    """
    return read_record(folder / f"{name}.json", GanDescription, again=AGAIN)
