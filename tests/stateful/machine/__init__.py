"""A Hypothesis machine over the HTTP API with real stores, held against a pure model of what is promised.

`model.py` is the model, `rules.py` the machine, `run.py` the way to run it (`run_machine`). The stores follow
the machine's clock (`stores.py`), and fail when told, statement by statement and trip by trip (`faults.py`).
"""
