"""Why a mutant of a library is not caught, for each that is open or escapes."""

from __future__ import annotations

from collections.abc import Mapping

SAME_LAW = "random numbers are drawn otherwise, from the same distribution: the map is as good"
SCALED = "the map is multiplied by one number, which no method's user reads"
UNCLAIMED = "the method claims no axiom, and the map still depends on model, target and image"
ANOTHER_IMAGE = (
    "the gradient is right, at an image a little brighter: no check knows at which image it should be taken"
)
OTHER_METHOD = "what is left is another honest method, here the gradient or input times gradient"
REFUSED = (
    "captum raises what the adapter takes for a method that does not exist for the network: refused, no pass"
)
RULE = "another rule of LRP: the checks hold it to what it depends on, and no axiom that it claims knows the rule"
SMALL = "the map changes by less than a fiftieth of its largest value, which ranks do not show"
FEW = "it changes the maps of one network, and little"
ONE_NETWORK = "the method exists for two of the networks, and it is convicted on one of them"

REASONS: Mapping[str, str] = {  # by the place and the kind of change
    "captum/attr/_core/deep_lift.py:1052 comparison": REFUSED,
    "captum/attr/_core/deep_lift.py:914 swapped arguments": ONE_NETWORK,
    "captum/attr/_core/gradient_shap.py:371 constant": OTHER_METHOD,
    "captum/attr/_core/gradient_shap.py:371 swapped arguments": SAME_LAW,
    "captum/attr/_core/layer/grad_cam.py:216 constant": UNCLAIMED,
    "captum/attr/_core/layer/grad_cam.py:227 another function": SCALED,
    "captum/attr/_core/layer/grad_cam.py:237 dropped call": UNCLAIMED,
    "captum/attr/_core/noise_tunnel.py:353 swapped arguments": ANOTHER_IMAGE,
    "captum/attr/_core/noise_tunnel.py:354 operator": SAME_LAW,
    "zennit/attribution.py:366 operator": SAME_LAW,
    "zennit/core.py:118 dropped call": SMALL,
    "zennit/core.py:229 comparison": FEW,
    "zennit/core.py:323 comparison": RULE,
    "zennit/core.py:398 removed statement": OTHER_METHOD,
    "zennit/core.py:229 operator": FEW,
    "zennit/rules.py:151 constant": RULE,
    "zennit/rules.py:165 operator": RULE,
    "zennit/rules.py:201 constant": RULE,
    "zennit/rules.py:312 constant": RULE,
    "zennit/rules.py:60 dropped call": RULE,
}
