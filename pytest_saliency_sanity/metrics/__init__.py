"""Figures that the field reports, as evidence beside a verdict: each with its name and source, and none decides."""
