"""Rules, one file each: over the text (`hierarchy`, `names`), over the plan (`degrees`, `gpus`, `advice`), over what a
plan costs (`priced`). `static` and `priced` hold the tables of them.
"""
