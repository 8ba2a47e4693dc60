"""Minutes of mixed traffic on each driver, as on a production day: ``make endurance MINUTES=10``.

A server process (`server`, with the handlers of `handlers`) and many visitors (`visitor`), each of whom knows what its
session must hold (`expected`). `endure` runs them and gives its findings, `judgement` has the bounds.
"""
