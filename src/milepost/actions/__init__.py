"""The shell around the rules, one action per verb: load, decide, claim, save. The runner commits."""
