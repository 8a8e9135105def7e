"""How a verdict is shown. It imports `verdict` for its types only; a verdict calls it when it is shown."""
