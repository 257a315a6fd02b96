"""Pure functions behind the widgets: arrays in, arrays out, nothing of Jupyter."""
