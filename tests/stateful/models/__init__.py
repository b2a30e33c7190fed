"""Pure models of what Stakehold promises, and what runs the real gate and its scripts beside them.

`fences.explore_fences` and `limits.explore_limits` take the gate under test as an argument and return their
`Findings`, so that a gate with a planted bug can be given to them as well.
"""
