"""Typed params: every value of params.yaml, frozen and strict, with no default in code."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipeline.params.changes import is_swept, with_changes
from pipeline.params.problems import describe, dotted_keys, suggest

Positive = Annotated[int, Field(gt=0, le=10**9)]
Width = Annotated[int, Field(gt=0, le=2**16)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
Control = Literal["ceiling", "placebo", "real_only"]
Source = Literal["gan", "folder", "parquet"]
Rival = Literal["mixup", "cutmix", "trivial_augment", "cutout", "longer", "distilled", "oversampling", "class_weights"]
PUBLIC_SETS, OWN_SETS = ("cifar10", "digits"), ("image_folder", "parquet", "csv")
DATA_RIVALS = ("longer", "oversampling", "class_weights")  # those that change no more than data, weights and budget
Arm = Literal["real_only", "oversampled", "augmented", "synthetic", "augmented_synthetic", "oracle"]
Labels = Literal["asked", "predicted", "soft"]

GAN_SIZES = (16, 32, 64, 128)
"""Sides in pixels that the networks of our recipes draw: 16, and a block more for every doubling."""

SweptValue = bool | int | float | str


def _check_network(name: str) -> str:
    if name not in OWN_NETWORKS and not re.fullmatch(r"[\w.]+:[\w.]+", name):
        raise ValueError(
            f"should be {' or '.join(OWN_NETWORKS)}, torchvision:NAME, timm:NAME or my_module:build, not {name!r}"
        )
    return name


OWN_NETWORKS = ("convnet", "resnet18")
LIBRARIES = ("torchvision", "timm")  # whose models `NAME:model` means
NetworkName = Annotated[str, AfterValidator(_check_network)]


def _as_text(name: object) -> object:
    return str(name) if type(name) is int else name


ClassName = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]  # 8 in YAML is the class "8"


class Block(BaseModel):
    """A block of params.yaml: frozen, strict (no text for numbers), unknown keys refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


def _refuse_own_outs(key: str, path: str, what: str) -> None:
    """Raises ValueError for a path where the stages write: DVC would see a circle."""
    if PurePath(path).parts[:1] in (("data",), ("models",), ("results",)):
        raise ValueError(f"{key} is {path!r}, where the stages write: copy {what} elsewhere")


class DatasetParams(Block):
    """Where the real images come from and how they are split (stage `prepare`)."""

    name: Literal["cifar10", "digits", "image_folder", "parquet", "csv"]
    """Source of the real images: a module of `pipeline.sources`."""
    title: Annotated[str, Field(pattern=r"^\w[\w .-]*$")]
    """What the set is called: it names the MLflow experiment, the registered models, the card and the report. One's own
    images `configure` calls by their folder and four digits of the sha256 of its path, so that no two sets share it."""
    path: str
    """Of one's own images: a folder with one sub-folder a class (`image_folder`), a Parquet file or a folder of them
    (`parquet`), or a list of files and labels (`csv`); empty for the other sources."""
    image_size: Annotated[int, Field(ge=16, le=256, multiple_of=16)]
    """Side of the square images, in pixels; other sizes are resized. A GAN's networks are for 16, 32, 64 or 128."""
    train_size: Positive
    """Real images that GAN and classifiers may see, in all classes together; the rest is `reserve`."""
    val_size: Positive
    """Real images on which `synthetic_percent` is chosen."""
    select_size: Positive
    """Real images on which the state of the GAN is chosen and synthetic images are assessed."""
    test_size: Positive
    """Real images read once, for the report."""
    balance: Literal["balanced", "natural"]
    """Of the classes in every split: `balanced`, as many of each; `natural`, as they are in the source (stratified)."""
    class_shares: list[Annotated[float, Field(gt=0, le=10**6)]]
    """How train's classes are to each other, one number a class in the order of the labels; empty: by `balance`."""
    imbalance_factor: Annotated[float, Field(ge=1, le=10**6)]
    """First over last class of train, those between on an exponential curve (Cui et al. 2019); 1: by `balance`."""
    seed: Seed
    """Draws the split."""
    held_out: list[ClassName]
    """Classes that GAN and ablation know nothing of, to be learned from few images later (docs/new-classes.md); the
    sizes above are those of all others. Empty: none."""

    @model_validator(mode="after")
    def _no_class_is_held_out_twice(self) -> Self:
        if len(set(self.held_out)) < len(self.held_out):
            raise ValueError(f"held_out names a class twice: {self.held_out}")
        return self

    @model_validator(mode="after")
    def _one_way_to_unequal_classes(self) -> Self:
        if self.class_shares and self.imbalance_factor != 1:
            raise ValueError(
                "class_shares and imbalance_factor are both given: set class_shares to [] or the other to 1"
            )
        return self

    @model_validator(mode="after")
    def _path_goes_with_own_images(self) -> Self:
        if self.name in OWN_SETS and not self.path:
            raise ValueError("path is empty: name your folder of pictures, as in path=/home/me/pictures")
        if self.path.startswith("~"):
            raise ValueError(f"path is {self.path!r}: name it in full, as in path=/home/me/pictures")
        return self

    @model_validator(mode="after")
    def _own_images_have_a_title_of_their_own(self) -> Self:
        if self.title in PUBLIC_SETS and self.title != self.name:
            raise ValueError(f"title is {self.title}, which is another set: name yours, as in dataset.title=pictures")
        return self


class ClassifierParams(Block):
    """How a classifier is trained: those of the cells, and the small ones that watch the GAN (`gan.judge`)."""

    network: NetworkName
    """`convnet`: small, after cifar10-airbench; `resnet18`: torchvision's, its stem for small images; or any
    `torchvision:NAME`, `timm:NAME` or `my_module:build` (docs/own-classifier.md). To `configure`, `network=resnet18`
    names the rate that suits it too."""
    width: Annotated[int, Field(gt=0, le=2**16, multiple_of=2)]
    """Channels of the first convolution of `convnet`; later groups have multiples. Other networks have their own."""
    steps: Positive
    """Optimizer steps of a cell at 100 % real images, and of every cell if `ablation.budget` is `steps`."""
    batch_size: Positive
    """Images a step, real and synthetic together."""
    precision: Literal["float32", "bfloat16"]
    """Of a training step's products; weights and evaluation stay float32. `bfloat16` pays where hardware has it."""
    learning_rate: PositiveFloat
    """Of Nesterov SGD at the start, for 1,024 images at no momentum, so that neither batch nor momentum moves it."""
    momentum: Annotated[float, Field(gt=0, lt=1)]
    """Nesterov momentum of SGD."""
    weight_decay: NonNegativeFloat
    """Share of the weights that SGD takes off, for 1,024 images at no momentum; biases are spared."""
    muon_learning_rate: PositiveFloat
    """Of Muon at the start, a step: it moves the convolutions of `convnet`, whose norm it keeps."""
    muon_momentum: Annotated[float, Field(gt=0, lt=1)]
    """Nesterov momentum of Muon."""
    label_smoothing: Fraction
    """Probability mass spread over all classes."""
    flip: bool
    """Training images are mirrored at random (never for digits)."""
    translate: Count
    """Largest random shift of a training image, in pixels."""
    cutout: Count
    """Side of the grey square put over a training image, in pixels; 0 turns it off."""
    trivial_augment: bool
    """Every training image takes one random operation at a random strength (Müller & Hutter 2021)."""
    mixup: NonNegativeFloat
    """alpha of mixup: images of a batch are averaged in pairs (Zhang et al. 2018); 0 turns it off."""
    cutmix: NonNegativeFloat
    """alpha of CutMix: a rectangle of one image replaces that of another (Yun et al. 2019); 0 turns it off."""
    attack_epsilon: Annotated[int, Field(ge=0, le=255)]
    """Adversarial training (Madry et al. 2018): the furthest that an attack may move a pixel, in levels of 255. Every
    training image is attacked, and accuracy is that of attacked images; 0 turns it off."""
    attack_steps: Positive
    """Gradient steps of an attack while training."""
    attack_test_steps: Positive
    """Gradient steps of an attack on val and test."""
    weights: str
    """File of weights to begin with, all but the head's: .safetensors, or .pth that `weights_only` reads;
    empty: they are drawn."""
    freeze: bool
    """Only the head learns; the body stays what `weights` say."""
    body_learning_rate: Annotated[float, Field(gt=0, le=1)]
    """Factor of the rates of all but the head: below 1 to fine-tune `weights`."""
    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=3)]
    """Subtracted from a channel's levels, 0 to 1, before the network: what `weights` were trained with, one number a
    channel or one for all; empty: images are in [-1, 1]."""
    std: Annotated[list[PositiveFloat], Field(max_length=3)]
    """What they are then divided by."""

    @model_validator(mode="after")
    def _normalisation_is_whole(self) -> Self:
        if len(self.mean) != len(self.std) or len(self.mean) == 2:
            raise ValueError(f"mean has {len(self.mean)} values and std {len(self.std)}: give both 0, 1 or 3")
        if self.mean and self.network == "convnet":
            raise ValueError("mean is given, but convnet whitens its images itself: leave mean and std empty")
        return self

    @model_validator(mode="after")
    def _only_a_trained_body_is_frozen(self) -> Self:
        if self.freeze and not self.weights:
            raise ValueError("freeze is on, but weights is empty: the body would stay as it was drawn")
        return self

    @model_validator(mode="after")
    def _one_blend(self) -> Self:
        if self.mixup and self.cutmix:
            raise ValueError("mixup and cutmix are both above 0: set one to 0")
        return self


class CellClassifierParams(ClassifierParams):
    """How the classifier of a cell is trained."""

    train: str
    """Your own training as `module:function` (docs/own-classifier.md); then the values above are those of the network
    in whose eyes synthetic images are judged. Empty: ours."""


class HealthParams(Block):
    """What is measured of the generator while it trains, and when an alarm takes training back to its best state."""

    num_images: Annotated[int, Field(ge=2, le=10**6)]
    """Generated images that a probe looks at, beside as many of val."""
    cas_every: Positive
    """Steps from one small CAS to the next; it decides which state is the best."""
    cas_images: Positive
    """Generated images that a small CAS trains on."""
    grace_percent: Percent
    """Share of the steps before which a generator may still lack classes, variety and coverage."""
    patience: Positive
    """Probes in a row that must agree before D counts as won or dead."""
    won_below: NonNegativeFloat
    """D has won where its loss is below this share of its loss by guessing."""
    dead_above: NonNegativeFloat
    """D is dead where its loss is above this share of its loss by guessing."""
    min_gan_test: Fraction
    """The judge must recognise this share of the images of every class."""
    min_diversity: NonNegativeFloat
    """Variance of the features of every class's images, over that of real ones, must not be below."""
    max_coverage_drop: Annotated[float, Field(gt=0, le=1)]
    """Coverage may fall this far below its best."""
    max_overfitting: PositiveFloat
    """D has learned its images by heart where unseen real ones lie this share of the way to generated ones."""
    max_restarts: Count
    """Alarms that are answered; at the next one the best state is published, marked degraded."""
    penalty: NonNegativeFloat
    """Weight of R1 from the second restart on, in recipes without a penalty of their own."""


class R3Params(Block):
    """Values of the recipe `r3`: relativistic pairing with R1 and R2 penalties and an auxiliary class head."""

    latent_dim: Width
    """Dimensions of z."""
    width: Width
    """Channels at the finest resolution of the generator; coarser ones have multiples."""
    learning_rate: PositiveFloat
    """Adam's step size at the start."""
    beta1: Fraction
    """Adam's decay of the first moment, a step."""
    beta2: Fraction
    """Adam's decay of the second moment, a step."""
    decay_percent: Percent
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    gamma: NonNegativeFloat
    """Weight of the zero-centred gradient penalties R1 and R2."""
    penalty_every: Positive
    """Steps from one penalty to the next; its weight is multiplied by as much."""
    auxiliary_weight: NonNegativeFloat
    """Weight of the class head's cross-entropy, on real images for D and on generated ones for G."""


class HingeSnParams(Block):
    """Values of the recipe `hinge_sn`: hinge loss, spectral norm, projection, consistency regularisation."""

    latent_dim: Width
    """Dimensions of z."""
    width: Width
    """Channels at the finest resolution of the generator; coarser ones have multiples."""
    learning_rate: PositiveFloat
    """Adam's step size at the start."""
    beta1: Fraction
    """Adam's decay of the first moment, a step."""
    beta2: Fraction
    """Adam's decay of the second moment, a step."""
    decay_percent: Percent
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    consistency_weight: NonNegativeFloat
    """Weight of the squared difference of D's logits for two augmentations of a real image; 0 turns it off."""
    auxiliary_weight: NonNegativeFloat
    """Weight of the class head's cross-entropy, on real images for D and on generated ones for G."""


class DcganParams(Block):
    """Values of the recipe `dcgan`: the classic baseline, made conditional by a label embedding."""

    latent_dim: Width
    """Dimensions of z."""
    width: Width
    """Channels at the finest resolution of the generator; coarser ones have multiples."""
    learning_rate: PositiveFloat
    """Adam's step size."""
    beta1: Fraction
    """Adam's decay of the first moment, a step."""
    beta2: Fraction
    """Adam's decay of the second moment, a step."""
    decay_percent: Percent
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""


class GanParams(Block):
    """How the class-conditional GAN is trained (stage `train_gan`)."""

    recipe: Literal["r3", "hinge_sn", "dcgan", "none"]
    """Networks, losses and their values: the block of the same name below; `none` where `synthesize.source` is no
    GAN."""
    networks: str
    """Your own generator and discriminator as `module:function` (docs/own-networks.md); empty for the recipe's."""
    init_from: str
    """Folder of a trained generator and its discriminator from which training starts, as `models/gan/0` of another run,
    or of one for every replicate, as its `models/gan` (docs/transfer.md); empty: from drawn weights. `configure` takes
    a registered model too, as `models:/NAME@ALIAS`."""
    steps: Positive
    """Generator updates."""
    batch_size: Positive
    """Real images, and as many generated ones, a step."""
    ema_half_life_images: Positive
    """Images after which a weight's part in the moving average has halved."""
    ema_rampup: NonNegativeFloat
    """Caps the half-life at this share of the images seen so far, so that early averages are not stale."""
    flip: bool
    """Real images may be mirrored left to right (never for digits)."""
    translate: Count
    """Largest shift, in pixels, of real and generated images alike before D; 0 turns it off."""
    probe_every: Positive
    """Steps from one history row and sample grid to the next."""
    judge: ClassifierParams
    """The real-only classifier that looks at probes, and those of the small CAS."""
    health: HealthParams
    r3: R3Params
    hinge_sn: HingeSnParams
    dcgan: DcganParams

    @property
    def values(self) -> R3Params | HingeSnParams | DcganParams:
        """The block of the recipe in force, which is not `none`."""
        chosen: R3Params | HingeSnParams | DcganParams = getattr(self, self.recipe)
        return chosen

    @model_validator(mode="after")
    def _init_from_is_a_folder_of_others(self) -> Self:
        _refuse_own_outs("init_from", self.init_from, "the generator")
        if self.init_from.startswith("~"):
            raise ValueError(f"init_from is {self.init_from!r}: name the folder in full, as in /home/me/models/gan/0")
        if self.init_from.startswith("models:"):
            raise ValueError(
                f"init_from is {self.init_from!r}: fetch it by `synthmix configure gan.init_from=models:…`"
            )
        if self.init_from and self.recipe == "none":
            raise ValueError("init_from is given, but recipe is none: set init_from to ''")
        return self


class SynthesizeParams(Block):
    """How the labelled synthetic dataset is drawn, or taken from a set (stages `screen_set` and `synthesize`)."""

    source: Source
    """`gan`: the GAN of each replicate; or a set that another program made (docs/own-synthetic.md): `folder` with one
    sub-folder a class, `parquet` files with columns image and label."""
    path: str
    """The set's folder or Parquet file; empty for `gan`."""
    class_mapping: str
    """CSV (a row `theirs,ours` a class) or JSON file of the set's classes that the real images name otherwise."""
    drop_copies: bool
    """Images of a set that copy one of test, val or select are left out."""
    num_images: Positive
    """Images in all classes together, of every replicate."""
    class_balance: Literal["balanced", "fill", "shares"]
    """Of a GAN: `balanced`; `fill`: classes of which train has few get more, until all are level; or `class_shares`. A
    set keeps its own balance."""
    class_shares: list[Annotated[int, Field(ge=1, le=10**6)]]
    """How the classes' numbers of images are to each other, in their order, where class_balance is `shares`."""
    latent_std: Annotated[float, Field(gt=0, le=10)]
    """Standard deviation of z; below 1 more typical images, above 1 more varied ones."""
    encoding: Literal["stored_png", "png"]
    """`stored_png` has no compression and is fast both ways; `png` is small and slow. Pixels are the same."""
    licence: str
    """What the dataset card states, as a Hugging Face licence id; `unknown` until you decide."""

    @model_validator(mode="after")
    def _shares_are_given(self) -> Self:
        if self.class_balance == "shares" and not self.class_shares:
            raise ValueError("class_shares is empty: give one number a class, as in class_shares=[3,1,1]")
        return self

    @model_validator(mode="after")
    def _path_goes_with_a_set(self) -> Self:
        if self.source == "gan" and self.path:
            raise ValueError(f"path is {self.path!r}, but source is gan: set source to folder or parquet")
        if self.source != "gan" and (not self.path or self.path.startswith("~")):
            raise ValueError(f"path is {self.path!r}: name your {self.source} in full, as in path=/home/me/made")
        _refuse_own_outs("path", self.path, "the set")
        return self


class AssessParams(Block):
    """How fidelity, diversity and memorisation are measured (stage `assess`)."""

    num_images: Annotated[int, Field(ge=2, le=10**9)]
    """Images of each kind that are compared; fewer where there are fewer."""
    num_neighbours: Positive
    """k of the k-nearest-neighbour manifolds of precision, recall, density and coverage."""


class CurationParams(Block):
    """Which synthetic images cells train on (stages `train_classifier`, `assess`): none of it draws or scores anew."""

    drop_near_copies: bool
    """Leaves out images nearer to a training image than nearly all unseen real ones are."""
    rank_by: Literal["confidence", "discriminator"]
    """Score that decides what is kept: a real-only classifier's for the label, or the GAN's own realness."""
    keep_percent: Annotated[int, Field(ge=1, le=100)]
    """Share of each class's synthetic images kept, the best ranked first; 100 keeps all."""
    recycle: bool
    """A fresh slice of all kept images every epoch; off, the first train_size of them over and over."""


class AblationParams(Block):
    """The grid of cells and how they are compared (stages `train_*` and `evaluate`)."""

    mode: Literal["add", "replace"]
    """`add` keeps every real image; `replace` cuts them to (100 - percent) % of train_size."""
    mixing: Literal["batch", "pretrain_finetune"]
    """`batch`: every batch holds its share of synthetic images; `pretrain_finetune`: all of them first, then real."""
    budget: Literal["steps", "real_epochs"]
    """What is equal in all cells: optimizer steps, or passes over the real images."""
    synthetic_percent: Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=1)]
    """Percent of the training images, counted over all steps, that are synthetic; 0 is `train_baseline`'s."""
    real_percent: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=1)]
    """Sizes of real-only training sets, in percent of train_size; 100 is the baseline."""
    controls: Annotated[list[Control], Field(max_length=3)]
    """Cells without a generator, at every synthetic_percent: `ceiling` takes fresh real images from the reserve for the
    synthetic ones, `placebo` copies of train; `real_only` has the steps of that percent (for budget `real_epochs`)."""
    rivals: Annotated[list[Rival], Field(max_length=8)]
    """What else the compute buys on real images alone, each against the same baseline: see the block `rivals`."""
    labels: Labels
    """What a cell is to answer for a synthetic image: the class that was `asked` of the generator, the one `predicted`
    by the real-only classifier of the same replicate, or all of its probabilities: `soft` (Liu et al. 2018)."""
    synthetic_weight: PositiveFloat
    """Weight of a synthetic image's loss, where that of a real one is 1."""
    replicates: Annotated[list[Seed], Field(min_length=2)]
    """Each is the seed of a GAN, of its synthetic set and of a classifier a cell; equal ones pair the cells."""
    replicate_split: bool
    """Whether every replicate has its own draw of train, val and select too; test stays."""
    num_corrupted: Positive
    """Test images, the first ones, that every cell is also tested on damaged; all where there are fewer."""
    threads: Annotated[int, Field(ge=1, le=1024)]
    """Processor threads that one cell computes with on CPU: a param, since their number changes how sums round."""
    margin_points: PositiveFloat
    """A smaller difference in accuracy would not matter to you, in points: the margin of equivalence and of power."""

    @model_validator(mode="after")
    def _grid_is_sound(self) -> Self:
        for key in ("synthetic_percent", "real_percent", "controls", "rivals", "replicates"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key} names a value twice: {values}")
        if 100 not in self.real_percent:
            raise ValueError("real_percent lacks 100, the baseline that every cell is compared with")
        if self.budget == "real_epochs" and 100 in self.synthetic_percent:
            raise ValueError("budget real_epochs has no meaning at synthetic_percent 100: use budget steps")
        if self.budget == "real_epochs" and "real_only" not in self.controls:
            raise ValueError("budget real_epochs needs its baseline of equal steps: add real_only to controls")
        return self


class RivalParams(Block):
    """What each of `ablation.rivals` changes in the training of the real-only classifier (stage `train_rival`)."""

    mixup: PositiveFloat
    """Its `classifier.mixup`."""
    cutmix: PositiveFloat
    """Its `classifier.cutmix`."""
    cutout: Positive
    """Its `classifier.cutout`, in pixels."""
    longer: Annotated[float, Field(gt=1, le=1000)]
    """How many times `classifier.steps` it trains."""


class ExtendParams(Block):
    """How the classes of `dataset.held_out` are learned from few images (stages `extend_classes`, `train_extended`)."""

    num_shots: list[Annotated[int, Field(ge=1, le=10**6)]]
    """Real images of each new class: a generator and a classifier an arm for each of these numbers; empty exactly where
    no class is held out."""
    arms: Annotated[list[Arm], Field(min_length=1)]
    """What classifiers see of the new classes: these images as they are (`real_only`), `oversampled` to the level of
    the old classes, strongly `augmented`, half of them `synthetic`, both (`augmented_synthetic`), or as many real ones
    as an old class has (`oracle`)."""
    method: Literal["rows", "combination"]
    """What is learned of a new class: its `rows` of the generator, or them as a weighted `combination` of the old
    classes' and a residual (Shahbazi et al. 2021)."""
    steps: Positive
    """Steps of Adam."""
    row_rate: PositiveFloat
    """Its rate for the rows at the start."""
    latent_rate: PositiveFloat
    """Its rate for the latents of the targets."""
    noise: NonNegativeFloat
    """Standard deviation of the noise on these latents in every step."""
    num_targets: Positive
    """Images of a class that its rows are fitted to: the real ones and mildly warped copies; at most so many a step."""
    feature_weight: NonNegativeFloat
    """Weight of the difference in the discriminator's features, where that of the pixels is 1."""
    prior_weight: NonNegativeFloat
    """Weight of how far the latents are from standard normal ones."""

    @model_validator(mode="after")
    def _nothing_is_named_twice(self) -> Self:
        for key in ("num_shots", "arms"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key} names a value twice: {values}")
        if "oversampled" not in self.arms:
            raise ValueError("arms lacks oversampled, with which the others are compared")
        return self


class SweepParams(Block):
    """Settings to compare, each the values above but for some: `synthmix sweep` runs the whole graph for each."""

    name: Annotated[str, Field(pattern=r"^[\w.-]*$")]
    """What the files of the comparison in results/ are called; empty where there is none."""
    settings: dict[Annotated[str, Field(pattern=r"^[\w.-]+$")], dict[str, SweptValue | list[SweptValue]]]
    """By the setting's name what it changes: values by their dotted keys, such as `{dataset.train_size: 100}`."""
    setting: str
    """The one of them that the values above are; empty for what they have in common. `sweep` sets it."""


class Params(Block):
    """The whole of params.yaml."""

    profile: str
    """Name of the profile that `configure` composed the values from."""
    dataset: DatasetParams
    gan: GanParams
    synthesize: SynthesizeParams
    classifier: CellClassifierParams
    assess: AssessParams
    curation: CurationParams
    ablation: AblationParams
    rivals: RivalParams
    extend: ExtendParams
    sweep: SweepParams

    @model_validator(mode="after")
    def _blocks_agree(self) -> Self:
        moves = {
            "gan.translate": self.gan.translate,
            "gan.judge.translate": self.gan.judge.translate,
            "gan.judge.cutout": self.gan.judge.cutout,
            "classifier.translate": self.classifier.translate,
            "classifier.cutout": self.classifier.cutout,
            "rivals.cutout": self.rivals.cutout,
        }
        for key, pixels in moves.items():
            if pixels >= self.dataset.image_size:
                raise ValueError(f"{key} is {pixels}, not below the image size {self.dataset.image_size}")
        return self

    @model_validator(mode="after")
    def _images_have_one_origin(self) -> Self:
        source, recipe = self.synthesize.source, self.gan.recipe
        if (source == "gan") == (recipe == "none"):
            wanted = "another gan.recipe, or a set as synthesize.source" if source == "gan" else "gan.recipe none"
            raise ValueError(f"gan.recipe is {recipe} and synthesize.source {source}: choose {wanted}")
        if source != "gan" and self.curation.rank_by == "discriminator":
            raise ValueError(f"curation.rank_by is discriminator, which a {source} has not: choose confidence")
        return self

    @model_validator(mode="after")
    def _the_gan_draws_this_size(self) -> Self:
        size, recipe = self.dataset.image_size, self.gan.recipe
        if recipe != "none" and not self.gan.networks and size not in GAN_SIZES:
            raise ValueError(
                f"dataset.image_size is {size}, and gan.recipe {recipe} draws {', '.join(map(str, GAN_SIZES))} pixels: "
                "choose one of these, or gan.networks of your own, or gan.recipe none and a set as synthesize.source"
            )
        return self

    @model_validator(mode="after")
    def _held_out_classes_are_learned(self) -> Self:
        held_out, num_shots = self.dataset.held_out, self.extend.num_shots
        if bool(held_out) != bool(num_shots):
            raise ValueError(
                f"dataset.held_out is {held_out} and extend.num_shots {num_shots}: give both, as in [5,20] images of "
                "each held-out class, or neither"
            )
        if held_out and self.synthesize.source != "gan":
            raise ValueError(f"dataset.held_out needs a GAN, and synthesize.source is {self.synthesize.source}")
        return self

    @model_validator(mode="after")
    def _own_training_can_do_it(self) -> Self:
        if self.classifier.train:
            if self.classifier.attack_epsilon:
                raise ValueError("classifier.train is given, and attack_epsilon is ours alone: set it to 0")
            if ours := [rival for rival in self.ablation.rivals if rival not in DATA_RIVALS]:
                raise ValueError(
                    f"classifier.train is given, and ablation.rivals {ours} are made by our own: leave them out"
                )
        return self

    @model_validator(mode="after")
    def _every_setting_fits(self) -> Self:
        sweep = self.sweep
        if bool(sweep.name) != bool(sweep.settings):
            raise ValueError("sweep: name and settings belong together: give both, or leave both empty")
        if sweep.setting not in ("", *sweep.settings):
            raise ValueError(f"sweep.setting is {sweep.setting!r}, none of sweep.settings")
        if len(sweep.settings) == 1:
            raise ValueError("sweep.settings: name two or more to compare")
        if not sweep.setting:
            for name, changes in sweep.settings.items():
                _check_setting(self, name, changes)
        return self


def _check_setting(params: Params, name: str, changes: Mapping[str, object]) -> None:
    """Raises ValueError where `params` would not be valid with `changes`."""
    for key in changes:
        if not is_swept(params, key):
            meant = suggest(key, dotted_keys(Params)) or ": name one such as dataset.train_size"
            raise ValueError(f"sweep.settings.{name}: {key} is no value of params.yaml that settings may change{meant}")
    values = with_changes(params.model_dump(), changes)
    values["sweep"] = {"name": "", "settings": {}, "setting": ""}
    try:
        Params.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"sweep.settings.{name}: {describe(error, Params, most=1)}") from None
