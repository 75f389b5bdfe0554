"""`hawkeye report`: runs of an evaluation, read again, analysed side by side, and shown on a page."""
