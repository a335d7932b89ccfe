"""V judged, and results drawn: measures, probes, maps, pictures and charts.

Read `vision_report` first: the order in which V is measured on three sets of frames, and what is
written.
"""
