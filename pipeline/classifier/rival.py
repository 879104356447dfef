"""What else the compute of a generator buys: a change of the training on real images alone."""

from pipeline.params.schema import ClassifierParams, Params, Rival


def with_rival(params: Params, rival: Rival | None) -> ClassifierParams:
    """`params.classifier`, changed as `params.rivals` say of `rival`; as it is where there is none."""
    classifier = params.classifier
    if rival is None:
        return classifier
    values = params.rivals
    changes: dict[Rival, dict[str, float | bool]] = {
        "mixup": {"mixup": values.mixup, "cutmix": 0.0},
        "cutmix": {"cutmix": values.cutmix, "mixup": 0.0},
        "trivial_augment": {"trivial_augment": True},
        "cutout": {"cutout": values.cutout},
        "longer": {"steps": round(values.longer * classifier.steps)},
    }
    return classifier.model_copy(update=changes[rival])
