"""Reads handwritten digits, and shows which strokes it went by."""
