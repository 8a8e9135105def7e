"""scikit-image's inpainting."""

from __future__ import annotations

import numpy as np
from skimage import data, restoration, transform


def biharmonic(side: int = 56) -> str:
    """How many fills there are, and how much detail the fill has beside what it takes the place of."""
    image = transform.resize(data.astronaut(), (224, 224, 3)).astype(np.float32)
    mask = np.zeros(image.shape[:2], dtype=bool)
    inside = np.s_[60 : 60 + side, 60 : 60 + side]
    mask[inside] = True
    fills = [restoration.inpaint_biharmonic(image, mask, channel_axis=-1) for _ in range(2)]
    detail = [float(np.diff(picture[inside], axis=0).std()) for picture in (fills[0], image)]
    return f"inpaint_biharmonic: {1 + (fills[0] != fills[1]).any()} fill, {detail[0] / detail[1]:.2f} of the detail"


MEASURES = (biharmonic,)
