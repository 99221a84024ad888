"""`report.html`: one strategy on one page that needs no network. `page.py` puts the parts together.

A part is a file: it takes plain data and gives markup. Text becomes markup in `markup.py` alone, which escapes it.
"""
