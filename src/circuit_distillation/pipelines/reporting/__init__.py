"""Tables 1 to 4, significance, figures and the page."""
