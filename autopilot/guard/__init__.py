"""The guard: may this tool call run, here and now?

`decision.decide` and all it imports (`tools`, `words`, `commands`, `engine_commands`, `git_commands`, `paths`) use
builtins only, because a hook answers in a fresh interpreter started with `-I -S`; a test holds them to it.
`reference` renders the documentation and is not on that path.
"""
