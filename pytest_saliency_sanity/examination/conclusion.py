"""The end of every check: what it was about, the command that replays it, and the place where verdicts are recorded."""

from __future__ import annotations

from dataclasses import replace

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.provenance import noted
from pytest_saliency_sanity.verdict import Verdict


def concluded(verdict: Verdict) -> Verdict:
    """`verdict` with its replay command and its pictures, recorded where the running test keeps its verdicts."""
    present = settings.current()
    if present.planning is not None:  # nothing is recorded as a verdict
        return verdict
    pictures, failed = observation.collected()
    finished = replace(
        verdict,
        replay=_replay(verdict, present),
        notes=(*verdict.notes, *present.notes, *failed),
        provenance=verdict.provenance or noted(),
        pictures=pictures or verdict.pictures,
    )
    if present.record is not None:
        present.record(finished)
    return finished


def _replay(verdict: Verdict, present: settings.Settings) -> str:
    if present.replay:
        command, mark, remark = present.replay.partition(settings.REMARK)
        return f"{command} --saliency-seed {verdict.seed}{mark}{remark}"
    return f"check_{verdict.check}({verdict.explainer}, {verdict.model}, …, seed={verdict.seed})"
