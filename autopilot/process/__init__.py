"""The engine: the graph of phases, profiles, admission, and the enforcer that alone moves a task."""
