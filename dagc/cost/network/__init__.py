"""Formulas of exchanges between ranks, one file a family; pricing and fitting use the same.

All take coefficients by name, the bytes of each group, how the groups spread over nodes, and the stated rates of the
wires; they yield seconds by group. In every one of them

    seconds = latency + τ + 2 sqrt(τ · ramp)

where τ is the time that the bytes take at the full rate. An exchange is cut into chunks so that its steps overlap; of
all chunk sizes the best costs this much (latency of a chunk times the number of chunks against the time to fill the
pipeline; the optimum for pipelined transfers in Thakur, Rabenseifner, Gropp, "Optimization of collective communication
operations in MPICH", 2005, and van de Geijn, "On optimizing collective communication", 1991). `ramp` is what one chunk
costs beyond its bytes, in seconds: the larger it is, the more bytes an exchange needs to reach the full rate.

Coefficients with the same meaning everywhere: `launch`, seconds before anything moves; `step` and `hop`, seconds a step
inside a node and of one that crosses nodes; `share` and `network_share`, the achieved part of the stated rate of the
link and of the network.
"""
