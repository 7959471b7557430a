"""A machine that loses power: a disk that forgets what was not synced, under the shipped store.

`disk` is what a file system promises and no more, `files` is the `Files` port over it, `trials` runs a store on it,
cuts the power after every operation, and looks at what is left. `kills` ends programs where the machine goes on,
`faults` lets operations fail, `mutations` leaves syncs out: each must be missed.
"""
