"""How much of what can go wrong in an explainer the kit notices: planted faults, mutants of other libraries."""
