"""Meeting a repository: what it is, what to configure, whether this machine can govern it. Reads, never runs."""
