"""Linear classifiers on features, solved to their optimum: all classes and all values of C at once.

Enters: features float32 (N, D), labels int64 (N,) and values of C. Leaves: weights and biases, the selected C,
out-of-fold probabilities, and heads that turn features into scores. ``problem`` states the objective, ``newton``
minimizes it over the losses in ``losses``, in the coordinates of ``eigenbasis``; ``selection`` chooses C; ``normalize``
brings features to a common scale.
"""
