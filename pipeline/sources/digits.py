"""scikit-learn's handwritten digits: 1,797 grey images of 8 x 8 pixels, bundled with the library."""

import numpy as np
from PIL import Image

from pipeline.images import LabelledImages
from pipeline.params.schema import DatasetParams
from pipeline.sources.pictures import square
from pipeline.sources.splits import RealImages

TOP_LEVEL = 16  # ink of a pixel, 0-16


def load(params: DatasetParams) -> RealImages:
    """All digits, grey (C = 1), enlarged to `image_size`; there is no official test set."""
    from sklearn.datasets import load_digits  # seconds that the other sources save

    digits = load_digits()
    levels = np.rint(digits.images * (255 / TOP_LEVEL)).astype(np.uint8)
    images = np.stack([np.asarray(square(Image.fromarray(digit), params.image_size)) for digit in levels])
    names = tuple(str(name) for name in digits.target_names)
    return RealImages(LabelledImages(images[..., None], digits.target.astype(np.int64), names), None)
