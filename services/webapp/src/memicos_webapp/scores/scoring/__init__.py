"""Scoring an explanation.

sampling        texts on which a feature is active, or not
inactive        finds the latter with the model
output_texts    texts and tokens of scores by the output
task, service   a score from a dashboard: choose texts, have them judged by the autointerp server, store the score
event_stream    its progress
"""
