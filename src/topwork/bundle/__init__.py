"""The model bundle that a run leaves behind: everything that a prediction needs, in safetensors and JSON.

Enters: trained tensors, class names, input spec, calibration. Leaves: ``model/`` with its model card, and from it again
a network and the rule that turns its scores into a decision.
"""
