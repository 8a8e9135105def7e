"""The sanity checks, one file each, and their registry: the only place where all other rooms meet."""
