"""What inner runs of pytest do without: plugins whose import takes longer than our tests."""

# Hypothesis is imported at the end of a run; anyio brings asyncio.
OTHER_PLUGINS = ("hypothesispytest", "anyio")
WITHOUT_THEM = " ".join(f"-p no:{name}" for name in OTHER_PLUGINS)
