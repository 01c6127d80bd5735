"""Evidence that images belong together although nobody named their groups: patients, plates, bursts, video frames.

A name, a time or an order alone proves nothing: numbered files are often independent. So a grouping is accepted only if
its images are more similar in what they show than images of the same classes in other groups (permutation tests).

rows and vectors -> ``names``, ``times`` (partitions), ``chains`` (runs of an order) -> ``support`` -> ``proposal``
"""
