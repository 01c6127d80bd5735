"""A run or comparison folder -> one HTML file that needs nothing else.

``gather`` reads the files into frozen values, ``charts`` draws them as SVG, ``render`` fills the templates;
``thumbnails`` puts small pictures of the worst errors into a run folder while the images are at hand.
Only files are read, so a report can be made again at any time, also of a folder that was moved.
"""
