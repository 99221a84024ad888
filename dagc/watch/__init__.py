"""A page that follows a plan: what is served, what it shows now, and how a change of a file is noticed.

It compiles nothing: `dagc watch` (`dagc/cli/watch.py`) compiles and puts what came of it on the board.
"""
