"""Programs that make data sets; nothing in `hawkeye` imports them."""
