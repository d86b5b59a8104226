"""The study: plain VLA, ECoT and HyT at equal data and equal compute, at several data sizes, on the same episodes.

design.py   what is compared: methods, their modes, data sizes, budget
run.py      fits and evaluates, stage by stage; goes on where it was stopped
report.py   study.md, study.json and the plots
"""
