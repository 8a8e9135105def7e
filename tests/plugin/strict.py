"""Options of inner runs in which a warning is an error."""

from __future__ import annotations

# But not that the outer run has imported our modules before the inner one could rewrite them: whether pytest
# finds them to rewrite depends on how the package is installed.
STRICT = ("-W", "error", "-W", "ignore::pytest.PytestAssertRewriteWarning")
