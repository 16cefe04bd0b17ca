"""Search spaces: YAML files, data only."""
