"""What everything else builds on: errors, durable files, run folders, configuration, seeds, progress, signals.

Enters: settings, bytes and paths. Leaves: validated configurations, files that survive a crash, and the types of the
files that the stages of a run exchange (``artifacts``). Imports no torch and nothing else of topwork.
"""
