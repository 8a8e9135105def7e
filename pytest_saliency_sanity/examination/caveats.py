"""What a reader has to know of the images and the model: stand-ins, few images, an accuracy that was not checked."""

from __future__ import annotations

from pytest_saliency_sanity.audited import model_batches
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.verdict import Finding


def batch_findings(subject: Subject) -> tuple[Finding, ...]:
    """Inconclusive where a check needs the logits of changed images, and these depend on the batch as well."""
    if not subject.batch_effect:
        return ()
    sentence = (
        "the model's own logits depend on the batch, and this check compares logits from different batches; give "
        "the model running statistics, or use static quantization"
    )
    return (Finding("gate.batch", "inconclusive", sentence),)


def caveats(subject: Subject) -> tuple[str, ...]:
    """What the summary has to say of the images: stand-ins, and an accuracy that was not checked."""
    return (*image_caveats(subject), *(("accuracy not checked",) if subject.labels is None else ()))


def image_caveats(subject: Subject) -> tuple[str, ...]:
    """What the summary has to say of images that are not the user's, or fewer than they seem."""
    return (*_images(subject), *model_batches.caveat(subject.batch_effect))


def _images(subject: Subject) -> tuple[str, ...]:
    if subject.stand_ins:
        return (f"{subject.images} stand-in photographs",)
    return (f"{subject.images} different images",) if subject.left_out else ()
