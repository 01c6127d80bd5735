"""A run or comparison folder as one HTML file that needs nothing else, and as tables.

Enters: the files of the folder, read by ``report_data``. Leaves: ``report.html``, ``verdict.json``, CSV tables and
thumbnails of the worst errors; ``results`` gives the same files to Python. Only files are read, so a report can be
written again at any time, also of a folder that was moved.
"""
