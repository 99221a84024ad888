"""The pipeline of each command, in the module of its name; only this folder knows the order of the steps.

`check` runs everything but the exports, `compile` turns what it returns into files. A command imports the module that
it runs and no other, because start-up counts.
"""
