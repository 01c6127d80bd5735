"""The model bundle of a run: everything that a prediction needs, as safetensors and JSON.

Enters: trained tensors, class names, input specification, calibration. Leaves: ``model/`` with its model card, and from
it the network and the rule that turns its scores into predictions.
"""
