"""The promises, one function each: given a run, what broke it."""
