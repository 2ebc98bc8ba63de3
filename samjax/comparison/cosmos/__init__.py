"""The study of COSMOS on one's own data and models: eight questions, answered with intervals.

Huang et al., "Segment anything model for medical images?", Medical Image Analysis 92 (2024). `plan`
has the settings, `run` evaluates, `page` writes the tables, figures and answers.
"""
