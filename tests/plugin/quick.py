"""What inner runs of pytest do without: plugins whose import takes longer than our tests."""

# Hypothesis is imported at the end of a run; pytest-html, with metadata, brings jinja2; anyio brings asyncio.
OTHER_PLUGINS = ("hypothesispytest", "anyio", "html", "metadata")
WITHOUT_THEM = " ".join(f"-p no:{name}" for name in OTHER_PLUGINS)
