"""Recorded results of other programs, computed again from their inputs.

``ramulator`` repeats recorded runs of Ramulator 2.1; ``constraints`` compares that simulator's table of
timing constraints with ours. A module here reads a directory of recorded files, computes every case from
its inputs alone, and only then looks at the recorded results; the model itself must not know that this
package exists.
"""
