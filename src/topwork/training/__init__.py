"""Gradient descent in plain torch that can be saved at any step and resumed bit for bit.

Enters: a task (model, batches, evaluation) and a run context. Leaves: the weights of the kept epoch, the history, and
checkpoints on the way; ``callbacks`` are notified of every epoch. ``data_parallel`` and ``fully_sharded`` train on
several devices.
"""
