"""Tables, plots and pages that show figures to people: for accuracy (``evaluate``) and for speed (``bench``)."""
