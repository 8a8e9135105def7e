"""All checks on many explainers: in pytest by one decorator, in a notebook by `audit`."""
