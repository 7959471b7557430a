"""The whole engine on a simulated machine: the shipped code, and time, disk, chance and turns from a seed.

    python -m autopilot.testing.simulation --seed 7 --steps 400

Several processes, each with a store and desks of its own, work on one state directory. They take turns at every
operation on a file and at every lock; which one goes on, what each does next, what fails, who is killed and when the
power goes is drawn from the seed, so that a run can be repeated byte for byte. After each step a checker that knows
nothing of the engine's own code reads the raw bytes and holds them against the rules.

`clock`, `baton` and `disk` are the machine; `site` is a repository whose commands are simulated; `process` wires the
shipped desks; `operations` is what callers do; `chain`, `lease_model` and `model` are the checker; `plants` are bugs
put in on purpose, `mutations` the guards taken out of the shipped code one by one; `run` puts it together.
"""
