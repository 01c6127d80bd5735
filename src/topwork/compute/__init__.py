"""Where arithmetic runs: the device, its precision and threads, and several processes that work together.

Enters: the ``compute`` settings and the environment of a launcher. Leaves: one resolved device, the rank of this
process, and collectives between processes. ``ranks`` and ``process_pool`` load no torch.
"""
