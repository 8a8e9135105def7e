"""`python -m tests.calibration.one_sided`: how explainers fare whose maps have one sign.

The lists were fixed before anything was measured, the method was chosen with `--group development`; the numbers in the
documentation are those of `--group evaluation`, other kinds of networks.
"""

from __future__ import annotations

from tests.calibration.trials import trained

SETTING = trained
HONEST = (
    "gradcam", "grad-cam:GradCAM", "grad-cam:HiResCAM", "grad-cam:GradCAMPlusPlus", "grad-cam:XGradCAM",
    "torchcam:LayerCAM", "grad-cam:ScoreCAM", "grad-cam:AblationCAM", "torchcam:SmoothGradCAMpp",
    "absolute gradient", "absolute input_x_gradient", "absolute integrated_gradients", "vargrad",
)  # fmt: skip
FAULTY = ("grad-cam:EigenCAM", "mean_activation", "distance_from_mean", "sobel", "absolute input_copy")
OUTSIDE = ("absolute guided_backprop", "absolute sobel 50 %", "absolute sobel 80 %")
SEEDS = tuple(range(4))


def names() -> list[str]:
    """Those of the table of honest explainers, and those that are outside of any bar."""
    return [*HONEST, *OUTSIDE]


if __name__ == "__main__":
    from tests.calibration.command_line import report_rates

    report_rates("one_sided", names(), SEEDS)
