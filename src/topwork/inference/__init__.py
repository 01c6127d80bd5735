"""Using a trained model: the bundle that holds everything a prediction needs."""
