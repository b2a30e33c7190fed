"""A Hypothesis machine over staking: plans, quotes, stakes, settlement and the ledger, held against terms.

`terms.py` and `model.py` say what is owed, in exact rationals and without the service's code; `acts.py` asks
the service for things and `looks.py` reads what it tells, both under faults; `audit.py` holds the database
against the model; `machine.py` has the rules. Processes, stores and faults are those of `stateful/machine`.
"""
