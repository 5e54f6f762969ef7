"""A simulated water treatment plant with the tags of SWaT, and attacks on it.

The process, its six stages, the tags and the way states are written follow the public descriptions of the testbed
(Goh, Adepu, Junejo and Mathur 2016, CRITIS; Mathur and Tippenhauer 2016, CySWater). Every number (sizes, flows,
set points, noise, daily patterns, wear) is ours, and so are the chemistry and the attacks. It is no model of the
testbed: it is a plant of the same kind whose truth is known.
"""
