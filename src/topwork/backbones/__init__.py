"""Pretrained networks, the only package that imports timm.

Enters: a model name and the source of its weights. Leaves: torch modules that map images (B, 3, S, S) to features
(B, D), their input specification, parameter groups and stages. ``packaged`` needs neither timm nor torch.
"""
