"""dagc from Python: the stages of the commands, with their results as objects.

    >>> import dagc
    >>> plan = dagc.compile("tp 2", model="mixtral-8x7b", cluster="h100-sxm x 2")
    >>> plan["main"].gpus
    2
    >>> plan["main"].fits
    True
    >>> sorted(phase["name"] for phase in plan["main"].graph().graph["phases"])
    ['decode', 'prefill']

No function raises for what is wrong with a plan: that is in `diagnostics` of its result. What a strategy does not have
(a graph, without shapes) raises `NothingToShow` where it is asked for.

The package `dagc` has the public names; the modules here hold them.
"""
