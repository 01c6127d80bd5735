"""Linear classifiers on features, solved to their optimum: all classes and all values of C at once.

Enters: features float32 (N, D), labels int64 (N,) and values of C. Leaves: weights and biases, the selected C, and
out-of-fold probabilities. Newton's method on an eigenbasis of the features; no learning rate, no random order.
"""
