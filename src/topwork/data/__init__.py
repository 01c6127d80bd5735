"""From a folder, table or address of images to pixels and splits.

Enters: the ``data`` settings. Leaves: a manifest (every image with its label, hash and status), splits, and batches of
pixels. ``sources/`` lists images, decoder processes inspect them, ``images`` and ``convert`` are the preprocessing.
"""
