"""One graph at four distances: deployment, stage, layer, rank.

A view is data (`view`): boxes, arrows and clusters with their text, what is folded, and a legend. One file each builds
the four from a plan, its graph and its timelines; `dot` writes any of them for Graphviz, `svg` finishes what a layout
engine made of that text.
"""
