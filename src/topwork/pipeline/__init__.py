"""The stages of one command, in order; the only package that joins the others.

Enters: a configuration from the command line or from Python. Leaves: a run or comparison folder, and views on it.
``api`` has compare() and train(); ``job`` runs the stages; what needs torch is imported when its stage begins.
"""
